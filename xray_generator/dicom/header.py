"""The facts of a DICOM header, by an allow-list: no name, date or private tag of a patient is kept.

Geometry is in patient coordinates (DICOM PS3.3 C.7.6.2): x to the left, y to the back, z to the head, in mm.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from xray_generator.dicom.hounsfield import Window
from xray_generator.types import StudioError, normalize_text

if TYPE_CHECKING:
    from pydicom import Dataset

Plane = Literal["axial", "coronal", "sagittal", ""]
DUMMIES = (
    "PatientName",
    "PatientID",
    "AccessionNumber",
    "StudyID",
)  # PS3.15: may hold dummy values
BIRTH = ("PatientBirthDate", "PatientBirthTime", "PatientBirthName", "PatientMotherBirthName")
CONTACT = ("PatientAddress", "PatientTelephoneNumbers", "CurrentPatientLocation", "MilitaryRank", "PatientComments")
IDS = ("OtherPatientIDs", "OtherPatientIDsSequence", "OtherPatientNames", "IssuerOfPatientID", "MedicalRecordLocator")
PHYSICIANS = ("ReferringPhysicianName", "PerformingPhysicianName", "PhysiciansOfRecord", "NameOfPhysiciansReadingStudy")
PEOPLE = ("RequestingPhysician", "OperatorsName", "ContentCreatorName", "ResponsiblePerson")
PLACES = ("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "RequestingService")
IDENTIFYING = (*DUMMIES, *BIRTH, *CONTACT, *IDS, "InsurancePlanIdentification", *PHYSICIANS, *PEOPLE, *PLACES)
GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness")
OBJECT = ("SeriesInstanceUID", "SOPInstanceUID", "Modality", "Rows", "Columns", "NumberOfFrames")
SUBJECT = ("PatientSex", "PatientAge", "PatientIdentityRemoved", "SyntheticData", "BurnedInAnnotation")
READ = (*SUBJECT, *OBJECT, *GEOMETRY, "WindowCenter", "WindowWidth")
AXIAL = 0.8  # least cosine between a slice's normal and an axis of the body: at most 37 degrees of gantry tilt
UNIT = 0.02  # tolerance of the unit length and right angle of a header's cosines
TILT = 5.0  # degrees from which on a note is given


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of a DICOM image without its pixels; an empty text or None means "not stated"."""

    patient_id: str
    series_uid: str
    sop_uid: str
    modality: str
    rows: int
    columns: int
    position_mm: float | None  # along the slice's normal, toward the head in an axial slice
    orientation: tuple[float, ...]  # six cosines: along a row, along a column, as in the file
    spacing_mm: tuple[float, float] | None  # between rows and between columns, after `turn_to_patient`
    thickness_mm: float | None
    is_synthetic: bool  # (0008,001C) SyntheticData
    is_deidentified: bool  # (0012,0062) PatientIdentityRemoved
    identifying: tuple[str, ...]  # keywords of filled tags that may identify the patient; never their values
    burned_in: bool | None  # (0028,0301): text is drawn into the pixels
    windows: tuple[Window, ...] = ()
    sex: Literal["M", "F", ""] = ""
    age: int | None = None  # years
    notes: tuple[str, ...] = ()

    @property
    def plane(self) -> Plane:
        """The plane of the slice; empty if oblique or not stated."""
        if not self.orientation:
            return ""
        shares = [abs(share) for share in _normal(self.orientation)]
        planes: tuple[Plane, ...] = ("sagittal", "coronal", "axial")
        return planes[shares.index(max(shares))] if max(shares) >= AXIAL else ""


def to_header(dataset: Dataset) -> Header:
    """The header of an opened file; ValueError (pydicom) or StudioError where a number cannot be parsed."""
    notes: list[str] = []
    orientation = _orientation(dataset)
    removed, burned_in = _code(dataset, "PatientIdentityRemoved") == "YES", _code(dataset, "BurnedInAnnotation")
    if not burned_in:
        notes.append("does not say whether text is burned into the pixels")
    if orientation:
        notes += _tilt(orientation)
    spacing = _numbers(dataset, "PixelSpacing", 2)
    if spacing and orientation and _is_transposed(orientation):
        spacing = spacing[::-1]
    thickness = _numbers(dataset, "SliceThickness", 1)
    sex = _code(dataset, "PatientSex")
    return Header(
        patient_id=plain_text(dataset.get("PatientID", ""))[:64],
        series_uid=plain_text(dataset.get("SeriesInstanceUID", ""))[:64],
        sop_uid=plain_text(dataset.get("SOPInstanceUID", ""))[:64],
        modality=_code(dataset, "Modality"),
        rows=int(dataset.get("Rows", 0) or 0),
        columns=int(dataset.get("Columns", 0) or 0),
        position_mm=_position(dataset, orientation),
        orientation=orientation,
        spacing_mm=(spacing[0], spacing[1]) if spacing and min(spacing) > 0 else None,
        thickness_mm=thickness[0] if thickness and thickness[0] > 0 else None,
        is_synthetic=_code(dataset, "SyntheticData") == "YES",
        is_deidentified=removed,
        identifying=_identifying(dataset, removed),
        burned_in={"YES": True, "NO": False}.get(burned_in),
        windows=_windows(dataset, notes),
        sex="M" if sex == "M" else "F" if sex == "F" else "",
        age=_age(dataset),
        notes=tuple(notes),
    )


def plain_text(value: object) -> str:
    """Reduce foreign text to letters, digits and harmless signs, so that it shows no markup, link or formula."""
    return re.sub(r"[^\w .,:;()/^+-]", "_", normalize_text(str(value or "")))


def check_axial_ct(header: Header) -> None:
    """Refuse a header that is not of an axial CT slice in patient coordinates.

    Raises:
        StudioError: another modality or plane, or an orientation or position that is not stated.
    """
    if header.modality != "CT":
        raise StudioError(f"The modality is {header.modality or 'not stated'}; only CT is read in Hounsfield units.")
    check_placed(header)
    if header.plane != "axial":
        raise StudioError(f"The slice is {header.plane or 'oblique'}; only axial chest CT is read.")


def check_placed(header: Header) -> None:
    """Refuse a header that does not state where its slice lies; StudioError names the tag that is missing."""
    if not header.orientation or header.position_mm is None:
        missing = "ImagePositionPatient" if header.orientation else "ImageOrientationPatient"
        raise StudioError(f"The tag {missing} is missing, so the slice can be neither oriented nor put in order.")


def turn_to_patient(pixels: NDArray[np.float32], orientation: tuple[float, ...]) -> NDArray[np.float32]:
    """Flip and transpose an axial slice as radiologists view it: right is the patient's left, down is the back."""
    row, column = orientation[:3], orientation[3:]
    if _is_transposed(orientation):
        pixels, row, column = pixels.T, column, row
    pixels = pixels[:, ::-1] if row[0] < 0 else pixels
    return np.ascontiguousarray(pixels[::-1] if column[1] < 0 else pixels)


def _is_transposed(orientation: tuple[float, ...]) -> bool:
    return abs(orientation[0]) < abs(orientation[1]) and abs(_normal(orientation)[2]) >= AXIAL


def _normal(orientation: tuple[float, ...]) -> tuple[float, ...]:
    """The unit normal of the slice, signed so that its largest component is positive (head, back or left)."""
    (a, b, c), (d, e, f) = orientation[:3], orientation[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)  # the cross product
    return normal if max(normal, key=abs) > 0 else (-normal[0], -normal[1], -normal[2])


def _orientation(dataset: Dataset) -> tuple[float, ...]:
    cosines = _numbers(dataset, "ImageOrientationPatient", 6)
    if cosines:
        row, column = np.array(cosines[:3]), np.array(cosines[3:])
        faults = abs(row @ row - 1), abs(column @ column - 1), abs(row @ column)
        if max(faults) > UNIT:
            raise StudioError("ImageOrientationPatient does not hold two unit vectors at a right angle.")
    return cosines


def _position(dataset: Dataset, orientation: tuple[float, ...]) -> float | None:
    position = _numbers(dataset, "ImagePositionPatient", 3)
    return float(np.dot(position, _normal(orientation))) if position and orientation else None


def _tilt(orientation: tuple[float, ...]) -> Iterator[str]:
    tilt = math.degrees(math.acos(min(1.0, max(abs(part) for part in _normal(orientation)))))
    if tilt > TILT:
        yield f"the slice is tilted by {tilt:.0f} degrees"
    spin = math.degrees(math.acos(min(1.0, max(abs(part) for part in orientation[:3]))))
    if spin > max(tilt, TILT):
        yield f"the slice is rotated by {spin:.0f} degrees in its plane"


def _identifying(dataset: Dataset, is_removed: bool) -> tuple[str, ...]:
    """Filled tags that name the patient, people or places; of a de-identified file DUMMIES do not count."""
    harmless = DUMMIES if is_removed else ()
    return tuple(
        name for name in IDENTIFYING if name not in harmless and str(dataset.get(name, None) or "").strip(" ^\0")
    )


def _windows(dataset: Dataset, notes: list[str]) -> tuple[Window, ...]:
    """Every distinct window in the file; those of width 0 or less are noted and ignored."""
    centers, widths = _numbers(dataset, "WindowCenter"), _numbers(dataset, "WindowWidth")
    windows = []
    for center, width in zip(centers, widths, strict=False):
        if width > 0:
            windows.append(Window(center, width))
        else:
            notes.append(f"states a window of width {width:g}, which is ignored")
    return tuple(dict.fromkeys(windows))


def _age(dataset: Dataset) -> int | None:
    match = re.fullmatch(r"(\d{1,3})([DWMY])", str(dataset.get("PatientAge", "") or "").strip())
    if match is None:
        return None
    years = int(match[1]) // {"D": 365, "W": 52, "M": 12, "Y": 1}[match[2]]
    return years if years <= 120 else None


def _code(dataset: Dataset, keyword: str) -> str:
    return plain_text(dataset.get(keyword, "")).strip().upper()[:16]


def _numbers(dataset: Dataset, keyword: str, count: int | None = None) -> tuple[float, ...]:
    """The values of a tag; () where it is absent or empty.

    Raises:
        StudioError: not `count` numbers, or one that is not finite.
    """
    value = dataset.get(keyword, None)
    if value is None or value == "":
        return ()
    values = tuple(float(part) for part in (value if hasattr(value, "__iter__") else (value,)))
    if (count is not None and len(values) not in (0, count)) or not all(map(math.isfinite, values)):
        raise StudioError(f"The tag {keyword} does not hold {'finite' if count is None else count} numbers.")
    return values
