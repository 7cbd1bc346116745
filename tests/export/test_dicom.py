"""Our DICOM files (C20): every mark of a synthetic image, exact values, and a reader that is not taken in."""

import io
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from tests.ct_files import opened
from xray_generator.config import dump, parse
from xray_generator.data.ct_series import CtOptions, read_ct_series
from xray_generator.dicom import read_header, read_slice
from xray_generator.dicom.hounsfield import WINDOWS, Window
from xray_generator.export.dicom import CREATOR, RECIPE, encode_dicom, find_dicom_recipe
from xray_generator.export.recipe import Recipe, read_recipe
from xray_generator.images import from_uint8, read_image, to_uint8, to_uint16
from xray_generator.types import NOTICE, CheckpointRef, GenerationRequest, StudioError, TextPrompt

IMAGE = np.random.default_rng(0).random((48, 33), np.float32)
RAMP = from_uint8(np.arange(256, dtype=np.uint8).reshape(16, 16))
REQUEST = GenerationRequest(TextPrompt('Größe \\ “normal” chest, "PA" ' * 60), seed=7)
# Synthetic Data came into the standard after the validator's release of 2022: only newer ones know the tag
YOUNGER = ("Error - </(0008,001c)> - Attribute with an even group number is not a recognized standard attribute",)
needs_validator = pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="there is no dciodvfy (dicom3tools)")
OURS = Recipe(REQUEST, CheckpointRef("latent_diffusion", "lung_ct_256", "ab" * 32), {"torch": "2"})


@pytest.mark.parametrize("window", [None, *WINDOWS.values()])
def test_every_mark_of_a_synthetic_image(window: Window | None) -> None:
    data = encode_dicom(IMAGE, OURS, window)
    assert data[:128] == b"\0" * 128
    found = opened(data)
    assert found.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert found.SOPClassUID == (SecondaryCaptureImageStorage if window is None else CTImageStorage)
    assert found.SyntheticData == "YES"
    assert list(found.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    (equipment,) = found.ContributingEquipmentSequence
    (purpose,) = equipment.PurposeOfReferenceCodeSequence
    assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("109100", "DCM")
    assert purpose.CodeMeaning == "Synthesizing Equipment" and "abababababab" in equipment.ContributionDescription
    assert found.BurnedInAnnotation == "NO" and found.ContentQualification == "RESEARCH"
    assert "SYNTHETIC" in found.DerivationDescription and "seed 7" in found.DerivationDescription
    assert str(found.ImageComments).startswith(NOTICE)
    assert str(found.PatientName).startswith("SYNTHETIC^") and found.PatientID == f"SYN-{OURS.digest}"
    assert (found.Modality, found.get("ConversionType")) == (("OT", "SYN") if window is None else ("CT", None))
    for uid in (
        found.SOPInstanceUID,
        found.SeriesInstanceUID,
        found.StudyInstanceUID,
        found.file_meta.ImplementationClassUID,
    ):
        assert uid.startswith("2.25.") and uid.is_valid and len(uid) <= 64
    assert not found.get("StudyDate") and not found.get("PatientBirthDate")


def test_the_recipe_is_read_back_from_our_private_block_alone() -> None:
    found = opened(encode_dicom(IMAGE, OURS))
    assert parse(Recipe, json.loads(found[RECIPE].value)) == OURS
    assert dump(OURS)["synthetic"] is True
    assert read_recipe(encode_dicom(IMAGE, OURS)) == OURS == read_recipe(encode_dicom(IMAGE, OURS, WINDOWS["lung"]))
    found[CREATOR].value = "ANOTHER MAKER"
    buffer = io.BytesIO()
    found.save_as(buffer)
    assert find_dicom_recipe(buffer.getvalue()) is None
    with pytest.raises(StudioError, match="holds no recipe"):
        read_recipe(buffer.getvalue())


@needs_validator
@pytest.mark.parametrize(
    ("window", "bits", "kind"),
    [(None, 8, "SCImage"), (None, 16, "SCImage"), *((window, 8, "CTImage") for window in WINDOWS.values())],
)
def test_an_outside_validator_finds_no_error(
    window: Window | None, bits: Literal[8, 16], kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(encode_dicom(IMAGE, OURS, window, bits))
    lines = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True).stderr.splitlines()
    assert kind in lines  # it knows what it validates
    assert [line for line in lines if line.startswith("Error") and line not in YOUNGER] == []
    if window is None:
        levels = to_uint8(IMAGE) if bits == 8 else to_uint16(IMAGE)
        assert np.array_equal(opened(path.read_bytes()).pixel_array, levels)


@pytest.mark.parametrize("name", WINDOWS)
def test_stored_values_are_hounsfield_units(name: str) -> None:
    window = WINDOWS[name]
    found = opened(encode_dicom(IMAGE, OURS, window))
    assert (found.BitsAllocated, found.PixelRepresentation, found.RescaleSlope, found.RescaleType) == (16, 1, 1, "HU")
    assert (found.WindowCenter, found.WindowWidth) == (window.level, window.width)
    hu = found.pixel_array.astype(np.float32) + float(found.RescaleIntercept)
    assert np.abs(hu - window.invert(IMAGE)).max() < 0.501
    assert np.abs(window.apply(hu) - IMAGE).max() <= 0.51 / window.width
    again = read_slice(encode_dicom(IMAGE, OURS, window)).hu
    assert np.array_equal(again[hu >= -1024], hu[hu >= -1024])  # below is no CT value: air


def test_secondary_capture_keeps_every_level() -> None:
    assert np.allclose(read_image(encode_dicom(RAMP, OURS)), RAMP, atol=1e-6)
    fine = np.linspace(0, 1, 2_000, dtype=np.float32).reshape(40, 50)
    assert np.abs(read_image(encode_dicom(fine, OURS, bits=16)) - fine).max() < 1e-5


def test_equal_images_are_equal_files() -> None:
    window = WINDOWS["lung"]
    assert encode_dicom(IMAGE, OURS, window) == encode_dicom(IMAGE.copy(), OURS, window)
    other = replace(OURS, request=replace(REQUEST, seed=8))
    variants = [
        encode_dicom(IMAGE, OURS, window),
        encode_dicom(IMAGE, OURS),
        encode_dicom(IMAGE, OURS, bits=16),
        encode_dicom(IMAGE, other, window),
        encode_dicom(1 - IMAGE, OURS, window),
    ]
    assert len({opened(data).SOPInstanceUID for data in variants}) == len(variants)


def test_windows_beyond_16_bits_and_non_finite_images_are_refused() -> None:
    with pytest.raises(StudioError, match="not numbers"):
        encode_dicom(np.full((16, 16), np.nan, np.float32), OURS, WINDOWS["lung"])
    with pytest.raises(StudioError, match="16 bits hold"):
        encode_dicom(IMAGE, OURS, Window(0, 80_000))


def test_our_file_is_refused_as_real_training_data(tmp_path: Path) -> None:
    path = tmp_path / "ours.dcm"
    path.write_bytes(encode_dicom(RAMP, OURS, WINDOWS["lung"]))
    header = read_header(path)
    assert header.is_synthetic and not header.identifying and header.burned_in is False
    with pytest.raises(StudioError, match="say that they are synthetic"):
        read_ct_series(tmp_path)
    (row,) = read_ct_series(tmp_path, CtOptions(accept_synthetic=True)).rows
    inside = RAMP > 0.22  # of the lung window: from -1024 HU on
    assert np.abs(row.image() - RAMP)[inside].max() < 0.001
