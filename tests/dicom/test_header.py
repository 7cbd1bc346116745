"""Reading DICOM headers: facts by an allow-list, orientation, and checks before anything is unpacked."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from tests.ct_files import AXIAL, HU, ct, opened, repacked, saved
from tests.test_images import GRAY, dicom, encoded
from xray_generator.dicom import read_header, read_slice
from xray_generator.images import header_pixels, read_image
from xray_generator.types import StudioError

TILT = np.radians(20)


def test_deflated_dicom_is_refused_before_it_is_unpacked() -> None:
    data = repacked(dicom(np.zeros((64, 64)), PatientComments="x" * 5_000_000), DeflatedExplicitVRLittleEndian)
    tracemalloc.start()
    with pytest.raises(StudioError, match="^Deflated DICOM files are not read"):
        read_image(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(data) < 100_000 and peak < 2_000_000


def test_pixels_are_counted_from_the_header(tmp_path: Path) -> None:
    path, packed = tmp_path / "x", repacked(dicom(np.zeros((300, 200))), RLELossless)
    data = {
        encoded(PILImage.fromarray(GRAY), "PNG"): GRAY.size,
        dicom(np.zeros((32, 48)), NumberOfFrames=3): 32 * 48 * 3,
        packed: 60_000,
        b"nothing": 7,
        b"\0" * 128 + b"DICMxx": 134,
    }
    for content, pixels in data.items():
        path.write_bytes(content)
        assert header_pixels(path) == pixels
    assert len(packed) < 10_000 and read_image(packed).shape == (300, 200)


def test_only_names_of_identifying_tags_are_kept() -> None:
    tags = {
        "PatientName": "Doe^Jane",
        "PatientBirthDate": "19700101",
        "InstitutionName": "Hospital",
        "PatientAddress": "1 Main St",
        "OperatorsName": " ^ ",
    }
    header = read_header(ct(PatientIdentityRemoved="NO", BurnedInAnnotation="YES", **tags))
    assert header.identifying == (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientAddress",
        "InstitutionName",
    )
    assert header.burned_in is True
    assert not any(value.split("^")[0] in repr(header) for value in tags.values() if value.strip(" ^"))
    clean = read_header(ct(PatientName="CASE-1"))  # a dummy: the file says that it is de-identified
    assert (clean.identifying, clean.burned_in) == ((), False)
    assert read_header(ct(without=("BurnedInAnnotation",))).burned_in is None


def test_markup_in_foreign_text_is_removed() -> None:
    dataset = opened(ct(PatientID='<img src="x">![a](b)$1$\\[e]', SpecificCharacterSet="ISO_IR 192"))
    dataset.PatientName = "Müller^<script>"
    dataset.private_block(0x0099, "ME<b>", create=True).add_new(1, "LO", "<script>")
    header = read_header(saved(dataset))
    assert not set("<>[]`$!\\\"'*") & set(header.patient_id)
    assert "Müller" not in repr(header) and "script" not in repr(header)
    odd = opened(ct())
    odd.SpecificCharacterSet = "NO SUCH SET"
    assert np.array_equal(read_slice(saved(odd)).hu, HU)


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (AXIAL, lambda hu: hu),
        ([-1, 0, 0, 0, -1, 0], lambda hu: hu[::-1, ::-1]),  # prone
        ([-1, 0, 0, 0, 1, 0], lambda hu: hu[:, ::-1]),
        ([0, 1, 0, 1, 0, 0], lambda hu: hu.T),
        ([0, 1, 0, -1, 0, 0], lambda hu: hu.T[:, ::-1]),
        ([1, 0, 0, 0, np.cos(TILT), np.sin(TILT)], lambda hu: hu),
    ],
)
def test_slices_are_turned_to_the_patient(orientation: list[float], turn) -> None:  # type: ignore[no-untyped-def]
    data = ct(
        ImageOrientationPatient=[f"{part:.6f}" for part in orientation],
        ImagePositionPatient=[9, -7, 40],
        PixelSpacing=[0.5, 0.75],
    )
    found = read_slice(data)
    assert np.array_equal(found.hu, turn(HU))
    assert found.header.plane == "axial"
    assert found.header.spacing_mm == ((0.5, 0.75) if abs(orientation[0]) == 1 else (0.75, 0.5))
    normal = [0, -np.sin(TILT), np.cos(TILT)] if 1 > orientation[4] > 0 else [0, 0, 1]
    assert found.header.position_mm == pytest.approx(np.dot(normal, [9, -7, 40]), abs=1e-3)
    assert any("tilted by 20" in note for note in found.header.notes) == (1 > orientation[4] > 0)


@pytest.mark.parametrize(
    ("orientation", "match"),
    [
        ([1, 0, 0, 0, 0, -1], "coronal"),
        ([0, 1, 0, 0, 0, -1], "sagittal"),
        ([1, 0, 0, 0, 0.707107, 0.707107], "oblique"),
        ([1, 0, 0, 1, 0, 0], "right angle"),
        ([2, 0, 0, 0, 1, 0], "unit vectors"),
        ([1, 0, 0], "6 numbers"),
    ],
)
def test_other_planes_are_refused(orientation: list[float], match: str) -> None:
    with pytest.raises(StudioError, match=match):
        read_slice(ct(ImageOrientationPatient=orientation))
    for tag in ("ImageOrientationPatient", "ImagePositionPatient"):
        with pytest.raises(StudioError, match=f"{tag} is missing"):
            read_slice(ct(without=(tag,)))


def test_the_header_holds_windows_age_and_sex() -> None:
    data = ct(
        WindowCenter=["-0600", "40", "7"],
        WindowWidth=["01500", "400", "0"],
        PatientAge="018M",
        PatientSex="F",
        SyntheticData="YES",
    )
    header = read_header(data)
    assert [(window.level, window.width) for window in header.windows] == [(-600, 1500), (40, 400)]
    assert any("width 0" in note for note in header.notes)
    assert (header.age, header.sex, header.is_synthetic, header.thickness_mm) == (1, "F", True, 2.5)
