"""Images that exist already, and what of a recipe no longer holds."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from postprocess.operations import Median
from postprocess.presets import PRESETS, Preset
from xray_generator import gallery
from xray_generator.checkpoints import Manifest
from xray_generator.config import dump
from xray_generator.devices import pick_device, runtime_facts
from xray_generator.export.recipe import Recipe, encode_png
from xray_generator.gallery import differences, newest, read_source
from xray_generator.types import CheckpointRef, GenerationRequest, StudioError, TextPrompt

IMAGE = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
RECOMMENDED = {"scheduler": "dpm++", "num_inference_steps": 4, "guidance_scale": 1.0}
MANIFEST = Manifest("latent_diffusion", "tiny", {}, {}, {}, "", "", {}, RECOMMENDED, (64,))
REQUEST = GenerationRequest(TextPrompt("Chest"), 1, 64, 64, 4, 1.0, "dpm++", 3)


def recipe(request: GenerationRequest = REQUEST, preset: Preset | None = None, **other: object) -> Recipe:
    """A recipe of this machine and this moment, but for `other`."""
    made = {"checkpoint": MANIFEST.ref, "runtime": runtime_facts(pick_device())} | other
    return Recipe(request, preset=preset and dump(preset), **made)


def test_newest_are_raw_images_of_ours_by_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "a.png": encode_png(IMAGE, recipe()), "b.png": encode_png(IMAGE, recipe()), "c.png": b"text",
        "d.png": encode_png(IMAGE, recipe(preset=PRESETS[1])),
    }  # fmt: skip
    for age, (name, data) in enumerate(files.items()):
        (tmp_path / name).write_bytes(data)
        os.utime(tmp_path / name, (1_000 - age, 1_000 - age))
    assert [path.name for path in newest(tmp_path)] == ["a.png", "b.png"]
    monkeypatch.setattr(gallery, "NUM_NEWEST", 1)
    assert [path.name for path in newest(tmp_path)] == ["a.png"]
    assert newest(tmp_path / "none") == {}


def test_a_source_of_ours_keeps_its_recipe_and_a_large_one_says_that_it_was_scaled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert read_source(encode_png(IMAGE, recipe()), "x").recipe == recipe()
    monkeypatch.setattr(gallery, "MAX_PIXELS", 1_000)
    source = read_source(encode_png(IMAGE, recipe()), "x")
    assert source.image.size <= 1_000 and source.origin == "x, scaled down from 64 x 64 pixels"
    with pytest.raises(StudioError, match="not an image"):
        read_source(b"text", "x")


def test_what_holds_here_is_not_mentioned() -> None:
    assert differences(recipe(), MANIFEST, PRESETS) == ()
    assert differences(recipe(preset=PRESETS[1]), MANIFEST, PRESETS) == ()


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
def test_what_differs_here_is_said_once(other: dict[str, Any], words: str) -> None:
    (sentence,) = differences(recipe(**other), MANIFEST, PRESETS)
    assert words in sentence


@pytest.mark.parametrize(("fact", "there"), [("torch", "0.1"), ("threads", 999)])
def test_another_runtime_is_said_once(fact: str, there: object) -> None:
    (sentence,) = differences(recipe(runtime=runtime_facts(pick_device()) | {fact: there}), MANIFEST, PRESETS)
    assert f"{fact} {there}, here" in sentence


def test_a_recipe_without_versions_cannot_promise_equal_bits() -> None:
    assert any("torch unknown" in sentence for sentence in differences(recipe(runtime={}), MANIFEST, PRESETS))
