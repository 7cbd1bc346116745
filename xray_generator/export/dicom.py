"""A generated image as a DICOM file that cannot be mistaken for a patient's.

Many tags say that it is synthetic, since tools that strip headers remove some: SyntheticData, image type, contributing
equipment, conversion type, patient, descriptions. No name, date or UID comes from a real image. The recipe is JSON in
element (0099,xx01), unlimited text, of the private block that XRAY_GENERATOR reserves in (0099,00xx).
"""

from __future__ import annotations

import hashlib
import io
import json
import uuid
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from xray_generator import __version__
from xray_generator.config import dump
from xray_generator.dicom import read_tags
from xray_generator.dicom.hounsfield import Window
from xray_generator.images import to_uint8, to_uint16
from xray_generator.types import NOTICE, Image, StudioError

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    from xray_generator.export.recipe import Recipe

MAKER = "xray_generator"
CREATOR, RECIPE = (0x0099, 0x0010), (0x0099, 0x1001)  # a private block, whose text may have any length
INTERCEPT = -1024  # HU of stored value 0, as CT scanners use
INT16 = np.iinfo(np.int16)
NOT_PATIENT = "SYNTHETIC - NOT FOR DIAGNOSIS"
SYNTHESIZING = ("109100", "DCM")  # the code of Synthesizing Equipment
TEXTS = ("DerivationDescription", "SeriesDescription", "ImageComments")
MARKS = ("SyntheticData", "ConversionType", "ContributingEquipmentSequence", *TEXTS)


def encode_dicom(image: Image, recipe: Recipe, window: Window | None = None, bits: Literal[8, 16] = 8) -> bytes:
    """An explicit VR little endian DICOM file; equal images and recipes give equal files.

    With a window, a CT image in Hounsfield units (16 bit, slope 1) that `window.invert` gives, rounded to whole HU.
    Otherwise a Secondary Capture of 8 or 16 bits.

    Raises:
        StudioError: the image is not finite, or the window exceeds 16 bits.
    """
    from pydicom.dataset import Dataset
    from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage

    levels = _levels(image, window, bits)
    text = json.dumps(dump(recipe), ensure_ascii=False, sort_keys=True)
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = SecondaryCaptureImageStorage if window is None else CTImageStorage
    _identify(dataset, recipe, text, levels, window)
    _mark_as_synthetic(dataset, recipe)
    _describe_pixels(dataset, levels)
    if window is None:
        dataset.Modality, dataset.ConversionType, dataset.PatientOrientation = "OT", "SYN", ""
    else:
        _describe_ct(dataset, window)
    dataset.add_new(CREATOR, "LO", MAKER.upper())
    dataset.add_new(RECIPE, "UT", text)
    buffer = io.BytesIO()
    dataset.file_meta, dataset.preamble = _file_meta(dataset), b"\0" * 128
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def find_dicom_recipe(data: bytes) -> str | None:
    """The JSON of the recipe in a DICOM file of this studio; None in any other. StudioError: it cannot be read."""
    return read_tags(data, (CREATOR, RECIPE), _find_recipe)


def _find_recipe(dataset: Dataset) -> str | None:
    is_ours = CREATOR in dataset and RECIPE in dataset and str(dataset[CREATOR].value) == MAKER.upper()
    return str(dataset[RECIPE].value) if is_ours else None


def find_dicom_marks(data: bytes) -> tuple[str, ...]:
    """The tags of a DICOM file that say that its image is synthetic, a phrase each. StudioError: it cannot be read."""
    return read_tags(data, (*MARKS, CREATOR, RECIPE), _find_marks)


def _find_marks(dataset: Dataset) -> tuple[str, ...]:
    equipment = dataset.get("ContributingEquipmentSequence") or []
    purposes = [code for made_by in equipment for code in made_by.get("PurposeOfReferenceCodeSequence") or []]
    codes = [(str(code.get("CodeValue")), str(code.get("CodingSchemeDesignator"))) for code in purposes]
    texts = " ".join(str(dataset.get(keyword, "")) for keyword in TEXTS)
    found = {
        "a recipe of this studio (private block 0099)": _find_recipe(dataset) is not None,
        "Synthetic Data (0008,001C) is YES": dataset.get("SyntheticData") == "YES",
        "Conversion Type (0008,0064) is SYN": dataset.get("ConversionType") == "SYN",
        "Contributing Equipment (0018,A001) is Synthesizing Equipment (109100, DCM)": SYNTHESIZING in codes,
        "a description says that it is synthetic": NOT_PATIENT in texts or NOTICE in texts,
    }
    return tuple(mark for mark, is_there in found.items() if is_there)


def _levels(image: Image, window: Window | None, bits: Literal[8, 16]) -> NDArray[np.uint8 | np.uint16 | np.int16]:
    if window is None:
        return to_uint8(image) if bits == 8 else to_uint16(image)
    if window.low - INTERCEPT < INT16.min or window.high - INTERCEPT > INT16.max:
        raise StudioError(
            f"16 bits hold {INT16.min + INTERCEPT:,} to {INT16.max + INTERCEPT:,} HU; the window is wider."
        )
    to_uint8(image)  # refuses what is not finite
    return np.asarray(np.rint(window.invert(np.clip(image, 0.0, 1.0)) - INTERCEPT), np.int16)


def _identify(
    dataset: Dataset, recipe: Recipe, text: str, levels: NDArray[np.uint8 | np.uint16 | np.int16], window: Window | None
) -> None:
    """Patient, study and series from the recipe, the object UID also from the pixels; nothing is random."""
    kind = f"{dataset.SOPClassUID} {levels.dtype} {window}"
    dataset.PatientName = f"SYNTHETIC^{recipe.checkpoint.name}"[:64]
    dataset.PatientID = f"SYN-{recipe.digest}"
    dataset.PatientBirthDate = dataset.PatientSex = dataset.StudyDate = dataset.StudyTime = ""
    dataset.AccessionNumber = dataset.StudyID = dataset.ReferringPhysicianName = ""
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "No patient: made from pixels and a recipe alone"
    dataset.StudyInstanceUID = _uid("study", text)
    dataset.SeriesInstanceUID = _uid("series", text, kind)
    dataset.SOPInstanceUID = _uid("object", text, kind, hashlib.sha256(levels.tobytes()).hexdigest())
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.Laterality = ""  # of a paired organ, which the image may show: not known


def _uid(*parts: str) -> UID:
    """A UID under 2.25, the root of UUIDs (PS3.5 B.2), from the first 128 bits of a SHA-256."""
    from pydicom.uid import UID

    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return UID(f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}")


def _mark_as_synthetic(dataset: Dataset, recipe: Recipe) -> None:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    model = f"{recipe.checkpoint.full_name} {recipe.checkpoint.sha256[:12]}"
    dataset.SyntheticData = "YES"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.BurnedInAnnotation = "NO"
    dataset.ContentQualification = "RESEARCH"
    dataset.SeriesDescription = NOT_PATIENT
    dataset.ImageComments = recipe.notice
    dataset.DerivationDescription = f"{NOT_PATIENT}. Model {model}, seed {recipe.request.seed}"
    dataset.Manufacturer, dataset.ManufacturerModelName = MAKER, recipe.checkpoint.full_name[:64]
    dataset.SoftwareVersions = __version__
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = SYNTHESIZING
    purpose.CodeMeaning = "Synthesizing Equipment"
    equipment = Dataset()
    equipment.PurposeOfReferenceCodeSequence = Sequence([purpose])
    equipment.Manufacturer, equipment.ManufacturerModelName = MAKER, recipe.checkpoint.full_name[:64]
    equipment.SoftwareVersions = __version__
    equipment.ContributionDescription = f"Generated by the model {model}"
    dataset.ContributingEquipmentSequence = Sequence([equipment])


def _describe_pixels(dataset: Dataset, levels: NDArray[np.uint8 | np.uint16 | np.int16]) -> None:
    dataset.Rows, dataset.Columns = levels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = levels.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(levels.dtype.kind == "i")
    data = levels.astype(levels.dtype.newbyteorder("<")).tobytes()
    dataset.add_new("PixelData", "OB" if dataset.BitsAllocated == 8 else "OW", data + b"\0" * (len(data) % 2))


def _describe_ct(dataset: Dataset, window: Window) -> None:
    """The CT image module. Models do not know the pixel size, so spacing and position are nominal and marked so."""
    dataset.Modality, dataset.ImageType = "CT", ["DERIVED", "SECONDARY", "AXIAL"]
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, INTERCEPT, "HU"
    dataset.WindowCenter, dataset.WindowWidth = f"{window.level:.10g}", f"{window.width:.10g}"
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.SliceThickness, dataset.PatientPosition = [1, 1], "", "HFS"
    dataset.FrameOfReferenceUID = _uid("frame", str(dataset.SeriesInstanceUID))
    dataset.KVP = dataset.AcquisitionNumber = dataset.PositionReferenceIndicator = ""
    dataset.DerivationDescription += ". Pixel spacing and position are nominal: nothing was measured"
    dataset.ImageComments += " Pixel spacing and position are nominal: measure nothing."


def _file_meta(dataset: Dataset) -> FileMetaDataset:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID, meta.ImplementationVersionName = _uid(MAKER), MAKER.upper()[:16]
    return meta
