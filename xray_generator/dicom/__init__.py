"""DICOM files and Hounsfield units: the one door through which foreign datasets and their pixels come."""

from xray_generator.dicom.header import Header, check_axial_ct
from xray_generator.dicom.reading import (
    MAX_PIXELS,
    Slice,
    is_dicom,
    num_pixels,
    read_gray,
    read_header,
    read_slice,
)

__all__ = [
    "MAX_PIXELS",
    "Header",
    "Slice",
    "check_axial_ct",
    "is_dicom",
    "num_pixels",
    "read_gray",
    "read_header",
    "read_slice",
]
