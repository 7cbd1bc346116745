"""What a DICOM file asks for is told from its header, before anything is unpacked."""

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image as PILImage
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, RLELossless

from tests.test_images import GRAY, dicom, encoded
from xray_generator.images import header_pixels, read_image
from xray_generator.types import StudioError


def repacked(data: bytes, syntax: UID) -> bytes:
    """A DICOM file with its dataset deflated, or its pixels in runs."""
    dataset, buffer = pydicom.dcmread(io.BytesIO(data)), io.BytesIO()
    if syntax == RLELossless:
        dataset.compress(syntax)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_deflated_dicom_is_refused_before_it_is_unpacked() -> None:
    data = repacked(dicom(np.zeros((64, 64)), PatientComments="x" * 5_000_000), DeflatedExplicitVRLittleEndian)
    tracemalloc.start()
    with pytest.raises(StudioError, match="^Deflated DICOM files are not read"):
        read_image(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(data) < 100_000 and peak < 2_000_000


def test_pixels_are_told_from_the_header(tmp_path: Path) -> None:
    path, packed = tmp_path / "x", repacked(dicom(np.zeros((300, 200))), RLELossless)
    data = {
        encoded(PILImage.fromarray(GRAY), "PNG"): GRAY.size, dicom(np.zeros((32, 48)), NumberOfFrames=3): 32 * 48 * 3,
        packed: 60_000, b"nothing": 7, b"\0" * 128 + b"DICMxx": 134,
    }  # fmt: skip
    for content, pixels in data.items():
        path.write_bytes(content)
        assert header_pixels(path) == pixels
    assert len(packed) < 10_000 and read_image(packed).shape == (300, 200)
