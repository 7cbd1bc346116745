"""Existing images as sources, and what prevents reproducing a recipe."""

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from postprocess.operations import Median
from postprocess.presets import PRESETS, Preset
from tests.ct_files import HU, ct
from xray_generator import gallery, images
from xray_generator.checkpoints import DataFacts, Manifest
from xray_generator.config import dump
from xray_generator.devices import pick_device, runtime_facts
from xray_generator.dicom.hounsfield import WINDOWS
from xray_generator.export.archive import encode_enhanced
from xray_generator.export.dicom import encode_dicom
from xray_generator.export.recipe import Recipe, encode_png
from xray_generator.gallery import (
    differences,
    find_drawn,
    find_sample,
    newest,
    read_in_units,
    read_slice_source,
    read_source,
)
from xray_generator.types import (
    NOTICE,
    AdapterWeight,
    CheckpointRef,
    ClassLabel,
    Edit,
    GenerationRequest,
    Recommendation,
    StudioError,
    TextPrompt,
)

IMAGE = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
RECOMMENDED = Recommendation("dpm++", 4, 1.0)
MANIFEST = Manifest("latent_diffusion", "tiny", {}, DataFacts(), "", "", {}, RECOMMENDED, (64,))
REQUEST = GenerationRequest(TextPrompt("Chest"), 1, 64, 64, 4, 1.0, "dpm++", 3)

ADAPTER = CheckpointRef("lora", "soft", "cd" * 32)
ADAPTED = replace(REQUEST, adapters=(AdapterWeight(ADAPTER, 0.5),))


def recipe(request: GenerationRequest = REQUEST, preset: Preset | None = None, **other: object) -> Recipe:
    """A recipe of this machine, with `other` facts replaced."""
    made = {"checkpoint": MANIFEST.ref, "runtime": runtime_facts(pick_device())} | other
    return Recipe(request, preset=preset and dump(preset), **made)


def test_newest_are_raw_images_of_ours_by_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "a.png": encode_png(IMAGE, recipe()),
        "b.png": encode_png(IMAGE, recipe()),
        "c.png": b"text",
        "d.png": encode_png(IMAGE, recipe(preset=PRESETS[1])),
    }
    for age, (name, data) in enumerate(files.items()):
        (tmp_path / name).write_bytes(data)
        os.utime(tmp_path / name, (1_000 - age, 1_000 - age))
    assert [path.name for path in newest(tmp_path)] == ["a.png", "b.png"]
    monkeypatch.setattr(gallery, "NUM_NEWEST", 1)
    assert [path.name for path in newest(tmp_path)] == ["a.png"]
    assert newest(tmp_path / "none") == {}


def test_newest_takes_images_of_a_second_folder_but_none_of_the_folders_in_it(tmp_path: Path) -> None:
    for name in ("old.png", "me/mine.png", "other/theirs.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encode_png(IMAGE, recipe()))
    assert {path.name for path in newest(tmp_path / "me", tmp_path)} == {"old.png", "mine.png"}
    assert {path.name for path in newest(tmp_path / "me")} == {"mine.png"}


def test_a_source_of_ours_keeps_its_recipe_and_a_large_one_says_that_it_was_scaled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert read_source(encode_png(IMAGE, recipe()), "x").recipe == recipe()
    monkeypatch.setattr(gallery, "MAX_PIXELS", 1_000)
    source = read_source(encode_png(IMAGE, recipe()), "x")
    assert source.image.size <= 1_000 and source.origin == "x, scaled down from 64 x 64 pixels"
    with pytest.raises(StudioError, match="not an image"):
        read_source(b"text", "x")


def test_a_ct_file_is_seen_through_the_models_window_and_other_files_as_they_are() -> None:
    window = WINDOWS["mediastinum"]
    seen = read_slice_source(ct(), "uploaded", window)
    assert np.allclose(seen.image, np.clip((HU + 160.0) / 400, 0, 1), atol=1e-6)
    assert seen.origin == "uploaded, Hounsfield units through the window -160 to 240 HU"
    png = encode_png(IMAGE, recipe())
    other = read_slice_source(png, "uploaded", window)
    assert np.array_equal(other.image, read_source(png, "").image) and other.recipe == recipe()
    assert other.origin == "uploaded, gray levels taken for -160 to 240 HU"
    chest = read_slice_source(ct(Modality="DX"), "uploaded", window)
    assert chest.origin == other.origin and chest.image.max() == 1
    assert read_slice_source(png, "uploaded", None).origin == "uploaded"


def test_a_slice_drawn_here_comes_back_from_its_dicom_file_and_is_known_as_synthetic() -> None:
    window, image = WINDOWS["lung"], 0.25 + 0.75 * IMAGE  # from -975 HU: what is below -1024 HU is read as air
    back = read_slice_source(encode_dicom(image, recipe(), window), "uploaded", window)
    assert np.abs(back.image - image).max() <= 0.51 / window.width  # stored as whole HU
    assert "marked as synthetic" in back.origin
    found, buffer = pydicom.dcmread(io.BytesIO(encode_dicom(image, recipe(), window))), io.BytesIO()
    del found.SyntheticData  # as tools do that do not know the tag
    found.save_as(buffer)
    assert read_slice_source(buffer.getvalue(), "uploaded", window).is_synthetic


def test_a_ct_file_is_looked_at_in_all_hounsfield_units_and_in_mm(monkeypatch: pytest.MonkeyPatch) -> None:
    source = read_in_units(ct(PixelSpacing=[0.7, 0.8]), "uploaded")
    assert source.hu_window is not None and source.origin == "uploaded, Hounsfield units"
    assert np.abs(source.hu_window.invert(source.image) - HU).max() < 0.01
    assert source.spacing_mm == (0.7, 0.8)
    seen = source.through(WINDOWS["lung"])
    assert np.allclose(seen.image, WINDOWS["lung"].apply(HU.astype(np.float32)), atol=1e-5)
    assert seen.hu_window == WINDOWS["lung"] and seen.origin.endswith("shown from -1350 to 150 HU")
    monkeypatch.setattr(gallery, "MAX_PIXELS", HU.size // 4)
    assert read_in_units(ct(PixelSpacing=[0.7, 0.8]), "uploaded").spacing_mm == pytest.approx((1.4, 1.6))


def test_other_files_are_looked_at_in_gray_levels_and_say_why() -> None:
    png = read_in_units(encode_png(IMAGE, recipe()), "x")
    assert png.hu_window is None and png.spacing_mm is None and png.recipe == recipe()
    assert png.through(WINDOWS["lung"]) is png
    film = read_in_units(ct(Modality="DX"), "x")
    assert film.hu_window is None and film.spacing_mm == (0.7, 0.7)
    coronal = read_in_units(ct(ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), "x")
    assert coronal.hu_window is None and "not Hounsfield units (The slice is coronal" in coronal.origin


def test_a_drawn_slice_in_another_window_says_that_it_is_synthetic_without_a_recipe() -> None:
    drawn = replace(read_in_units(encode_png(IMAGE, recipe()), "x"), hu_window=WINDOWS["lung"])
    seen = drawn.through(WINDOWS["bone"])
    assert seen.recipe is None and seen.is_synthetic
    again = read_source(encode_enhanced(seen, PRESETS[1]), "x")
    assert again.is_synthetic and drawn.through(WINDOWS["lung"]) is drawn


def test_a_ct_file_that_is_no_axial_slice_is_refused() -> None:
    with pytest.raises(StudioError, match="only axial chest CT"):
        read_slice_source(ct(ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), "uploaded", WINDOWS["lung"])


def test_a_reproducible_recipe_has_no_differences() -> None:
    assert differences(recipe(), MANIFEST, PRESETS) == ()
    assert differences(recipe(preset=PRESETS[1]), MANIFEST, PRESETS) == ()


def test_an_enlarged_image_can_be_drawn_again_where_the_same_weights_enlarge() -> None:
    enlarger = CheckpointRef("super_resolution", "large", "cd" * 32)
    enlarged = replace(recipe(request=replace(REQUEST, width=512, height=512)), upscaler=enlarger)
    assert differences(enlarged, MANIFEST, PRESETS, enlarger) == ()
    for other in (None, replace(enlarger, sha256="ef" * 32)):
        (sentence,) = differences(enlarged, MANIFEST, PRESETS, other)
        assert sentence == "The weights that enlarged this image (large) are not here."


def test_an_adapted_image_can_be_drawn_again_where_its_adapter_is_and_is_no_image_of_the_base(tmp_path: Path) -> None:
    assert differences(recipe(ADAPTED), MANIFEST, PRESETS, None, [ADAPTER]) == ()
    for others in ((), [replace(ADAPTER, sha256="ef" * 32)]):
        (sentence,) = differences(recipe(ADAPTED), MANIFEST, PRESETS, None, others)
        assert sentence == "The adapter of this image (soft, SHA-256 cdcdcdcdcdcd) is not here, or not of this model."
    edited = recipe(origin=Edit("Pneumonia", source_prompt="Chest"))
    for name, made in (("a.png", recipe(ADAPTED)), ("b.png", recipe()), ("c.png", edited)):
        (tmp_path / name).write_bytes(encode_png(IMAGE, made))
    drawn = find_drawn(MANIFEST, [tmp_path], 9)
    assert [row.path.name for row in drawn.rows] == ["b.png"]
    assert drawn.notes == ("Generated images left out: 1 drawn with adapters, 1 edited or blended.",)
    by_class = recipe(replace(REQUEST, condition=ClassLabel("cp_one")))
    (tmp_path / "d.png").write_bytes(encode_png(IMAGE, by_class))
    assert {row.path.name: row.label for row in find_drawn(MANIFEST, [tmp_path], 9).rows}["d.png"] == "cp_one"


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"checkpoint": CheckpointRef("latent_diffusion", "tiny", "ab" * 32)}, "abababababab"),
        ({"request": replace(REQUEST, width=128)}, "128 x 64 pixels; tiny draws 64 x 64"),
        ({"request": replace(REQUEST, scheduler="heun")}, "'heun'; tiny samples with ddim"),
        ({"preset": Preset("Mine", (Median(3),))}, "no preset 'Mine' here"),
        ({"preset": Preset("Balanced", (Median(3),))}, "'Balanced' has other operations"),
    ],
    ids=["weights", "size", "scheduler", "no preset", "other preset"],
)
def test_each_difference_is_stated_once(other: dict[str, Any], words: str) -> None:
    (sentence,) = differences(recipe(**other), MANIFEST, PRESETS)
    assert words in sentence


@pytest.mark.parametrize(("fact", "there"), [("torch", "0.1"), ("threads", 999)])
def test_another_runtime_is_stated_once(fact: str, there: object) -> None:
    (sentence,) = differences(recipe(runtime=runtime_facts(pick_device()) | {fact: there}), MANIFEST, PRESETS)
    assert f"{fact} {there}, here" in sentence


def test_a_recipe_without_versions_cannot_promise_equal_bits() -> None:
    assert any("torch unknown" in sentence for sentence in differences(recipe(runtime={}), MANIFEST, PRESETS))


def test_marked_files_are_recognized_as_synthetic() -> None:
    marked = encode_dicom(IMAGE, recipe(), None)
    assert read_source(marked, "").is_synthetic and read_source(encode_png(IMAGE, recipe()), "").is_synthetic
    assert read_source(images.encode_png(IMAGE, {"Description": NOTICE}), "").is_synthetic
    assert not read_source(images.encode_png(IMAGE), "").is_synthetic


def test_the_sample_of_a_checkpoint_is_its_first_normal_image(tmp_path: Path) -> None:
    def keep(name: str, prompt: str, **other: object) -> None:
        request = replace(REQUEST, condition=TextPrompt(prompt))
        (tmp_path / name).write_bytes(encode_png(IMAGE, recipe(request, **other)))

    keep("a.png", "Normal chest X-ray", checkpoint=replace(MANIFEST.ref, sha256="ab" * 32))  # of older weights
    keep("b.png", "Normal chest X-ray", preset=PRESETS[1])
    (tmp_path / "b2.png").write_bytes(encode_png(IMAGE, recipe(ADAPTED)))
    assert find_sample(tmp_path, MANIFEST) is None
    keep("c.png", "Chest X-ray with pneumonia")
    assert find_sample(tmp_path, MANIFEST) == tmp_path / "c.png"
    keep("d.png", "Normal chest X-ray")
    assert find_sample(tmp_path, MANIFEST) == tmp_path / "d.png"
    assert find_sample(tmp_path / "none", MANIFEST) is None
