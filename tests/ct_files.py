"""CT files made with pydicom, valid and faulty, and where the real ones are."""

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid

CT_DATA = Path(__file__).parents[2] / "shared" / "data" / "ct"
needs_ct_data = pytest.mark.skipif(not CT_DATA.is_dir(), reason="the real CT files are not in this checkout")
AXIAL = [1, 0, 0, 0, 1, 0]
HU = np.arange(-1000, 2072, 2, np.int16).reshape(32, 48)  # rows, columns


def ct(
    hu: NDArray[np.int16] = HU,
    *,
    signed: bool = False,
    syntax: UID = ExplicitVRLittleEndian,
    without: tuple[str, ...] = (),
    **tags: object,
) -> bytes:
    """An axial slice with these values: 16 bits, slope 1, intercept 0 where signed, else -1024; tags as given."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("x", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PatientID, dataset.PatientIdentityRemoved = "CT", "CASE-1", "YES"
    dataset.SeriesInstanceUID, dataset.BurnedInAnnotation = "1.2.3", "NO"
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 0], AXIAL
    dataset.PixelSpacing, dataset.SliceThickness = [0.7, 0.7], 2.5
    dataset.Rows, dataset.Columns = hu.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.PixelRepresentation, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = int(signed), 16, 16, 15
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0 if signed else -1024
    stored = hu if signed else hu.astype(np.int32) + 1024
    dataset.add_new("PixelData", "OW", stored.astype("<i2" if signed else "<u2").tobytes())
    for name, value in tags.items():
        setattr(dataset, name, value)
    for name in without:
        delattr(dataset, name)
    if syntax.is_compressed and not syntax.is_deflated:
        dataset.compress(syntax, encoding_plugin="pylibjpeg" if "JPEG 2000" in syntax.name else "")
    if not syntax.is_little_endian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        dataset["PixelData"].VR = "OW"
    return saved(dataset, syntax)


def saved(dataset: FileDataset, syntax: UID | None = None) -> bytes:
    """The file of a dataset in a transfer syntax."""
    buffer = io.BytesIO()
    dataset.file_meta.TransferSyntaxUID = syntax or dataset.file_meta.TransferSyntaxUID
    dataset._read_implicit = dataset._read_little = None  # type: ignore[assignment]
    encoding = {"implicit_vr": dataset.file_meta.TransferSyntaxUID.is_implicit_VR}
    little = dataset.file_meta.TransferSyntaxUID.is_little_endian
    pydicom.dcmwrite(buffer, dataset, little_endian=little, enforce_file_format=True, **encoding)
    return buffer.getvalue()


def repacked(data: bytes, syntax: UID) -> bytes:
    """A DICOM file with its dataset deflated, or its pixels run-length encoded."""
    dataset, buffer = opened(data), io.BytesIO()
    if syntax == RLELossless:
        dataset.compress(syntax)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def opened(data: bytes) -> FileDataset:
    """What pydicom reads in a file."""
    return pydicom.dcmread(io.BytesIO(data))
