"""The files of an enhancement comparison: what is inside, and what each one says of itself."""

import csv
import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as PILImage

from postprocess.cost import measure_cost
from postprocess.operations import Clahe, Median, Sharpen
from postprocess.presets import PRESETS, Preset, apply, get_preset
from xray_generator.config import dump
from xray_generator.export.archive import Source, comparison_zip, encode_enhanced
from xray_generator.export.recipe import Recipe, add_preset, read_recipe
from xray_generator.images import read_image, to_uint8
from xray_generator.types import CheckpointRef, GenerationRequest, Image, StudioError, TextPrompt

RECIPE = Recipe(
    GenerationRequest(TextPrompt("Normal chest X-ray"), seed=3), CheckpointRef("latent_diffusion", "x", "0")
)


@pytest.fixture
def image() -> Image:
    """A smooth random image, (48, 64) in [0, 1]."""
    coarse = np.random.default_rng(0).integers(0, 255, (12, 16), dtype=np.uint8)
    smooth = PILImage.fromarray(coarse).resize((64, 48), PILImage.Resampling.BICUBIC)
    return np.asarray(smooth, np.float32) / np.float32(255)


def text_of(png: bytes) -> dict[str, str]:
    """The text chunks of a PNG."""
    picture = PILImage.open(io.BytesIO(png))
    return dict(getattr(picture, "text", {}))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.slug)
def test_generated_image_keeps_its_recipe_with_the_preset_added(image: Image, preset: Preset) -> None:
    png = encode_enhanced(Source(image, "generated", RECIPE), preset)
    assert read_recipe(png) == (replace(RECIPE, preset=dump(preset)) if preset.operations else RECIPE)
    assert np.array_equal(to_uint8(read_image(png)), to_uint8(apply(preset, image)))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.slug)
def test_other_images_say_the_preset_and_never_claim_to_be_synthetic(image: Image, preset: Preset) -> None:
    png = encode_enhanced(Source(image, "uploaded image"), preset)
    text = text_of(png)
    assert json.loads(text["Preset"])["name"] == preset.name
    assert text["Source"] == "uploaded image"
    assert "synthetic" not in " ".join(text.values()).lower()
    with pytest.raises(StudioError, match="no recipe"):
        read_recipe(png)


def test_second_preset_is_recorded_after_the_first(image: Image) -> None:
    first = add_preset(RECIPE, Preset("A", (Median(3),)))
    both = add_preset(first, Preset("B", (Clahe(), Sharpen())))
    assert both.preset == dump(Preset("B", (Median(3), Clahe(), Sharpen())))
    assert add_preset(first, Preset("None")) == first


def test_archive_holds_every_preset_with_its_measured_cost(image: Image) -> None:
    presets = (*PRESETS, Preset("=1+1", (Sharpen(1.0),)))
    data = comparison_zip(Source(image, "uploaded image"), presets)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        rows = list(csv.DictReader(io.StringIO(archive.read("costs.csv").decode())))
        saved = json.loads(archive.read("presets.json"))
        readme = archive.read("README.txt").decode()
        balanced = archive.read("01_balanced.png")
    assert names == [
        "00_raw.png",
        "01_balanced.png",
        "02_high-contrast.png",
        "03_sharp-detail.png",
        "04_radiographic-film.png",
        "05_1-1.png",
        "costs.csv",
        "presets.json",
        "README.txt",
    ]
    assert [row["file"] for row in rows] == names[:6]
    cost = measure_cost(image, apply(get_preset("Balanced"), image))
    assert float(rows[1]["ssim_to_raw"]) == cost.ssim_to_raw
    assert float(rows[0]["ssim_to_raw"]) == 1
    assert rows[5]["preset"] == "'=1+1"
    assert saved == [dump(preset) for preset in presets]
    assert "ynthetic" not in readme
    assert "Not for diagnosis" in readme
    assert np.array_equal(to_uint8(read_image(balanced)), to_uint8(apply(get_preset("Balanced"), image)))


def test_archive_of_a_generated_image_says_synthetic_and_is_the_same_each_time(image: Image) -> None:
    source = Source(image, "generated", RECIPE)
    data = comparison_zip(source, PRESETS)
    assert data == comparison_zip(source, PRESETS)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert "Synthetic image" in archive.read("README.txt").decode()


def test_digest_tells_pixels_and_shape_apart(image: Image) -> None:
    assert Source(image, "").digest == Source(image.copy(), "other").digest
    assert Source(image, "").digest != Source(image.reshape(64, 48), "").digest
    assert Source(image, "").digest != Source(1 - image, "").digest
