"""What a file says of its origin: marks, certainty, weights and every line of its recipe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from postprocess.presets import PRESETS
from xray_generator.config import dump
from xray_generator.export.animation import encode_path_strip
from xray_generator.export.dicom import encode_dicom
from xray_generator.export.recipe import KEY, Recipe, encode_png
from xray_generator.images import encode_png as encode_bare_png
from xray_generator.inspect_image import describe, inspect, main
from xray_generator.studio import Studio
from xray_generator.types import NOTICE, AdapterWeight, CheckpointRef, Edit, GenerationRequest, Morph, TextPrompt

IMAGE = np.linspace(0, 1, 48 * 64, dtype=np.float32).reshape(48, 64)
REQUEST = GenerationRequest(TextPrompt("Chest X-ray with a mass"), 1, 64, 64, 4, 3.0, "dpm++", 7)
GONE, SOFT = CheckpointRef("latent_diffusion", "gone", "ab" * 32), CheckpointRef("lora", "soft", "cd" * 32)


@pytest.fixture(scope="module")
def studio(tiny_checkpoint: Path) -> Studio:
    return Studio(tiny_checkpoint, "cpu")


def test_an_image_of_ours_says_all_that_its_recipe_holds(studio: Studio) -> None:
    request = replace(REQUEST, adapters=(AdapterWeight(SOFT, 0.5),), eta=0.5)
    recipe = Recipe(request, studio.manifest().ref, {"torch": "2", "threads": 2}, dump(PRESETS[1]), upscaler=GONE)
    for data in (encode_png(IMAGE, recipe), encode_dicom(IMAGE, recipe)):
        found = inspect(studio, data)
        assert (found.is_synthetic, found.certainty, found.recipe) == (True, "recipe", recipe)
        assert [weights.is_here for weights in found.weights] == [True, False, False]
        said = "\n".join(describe(found))
        for words in (
            "Chest X-ray with a mass",
            "seed: 7",
            "scheduler: dpm++",
            "eta: 0.5",
            "enhancement: Balanced",
            "made with threads: 2",
        ):
            assert words in said
        assert f"adapted at weight 0.5 by: lora/soft, SHA-256 {SOFT.sha256}" in said
        assert "64 x 48 pixels" in said and f"{GONE.sha256}; these weights are not here" in said and NOTICE in said


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (
            Edit("Normal", 0.4, "A mass", "noise", "cd" * 32),
            ("edited to: Normal", "edited from: A mass", "method of the edit: noise"),
        ),
        (Morph(replace(REQUEST, seed=9), 0.25), ("weight of the second image: 0.25", "seed of the second image: 9")),
    ],
)
def test_what_else_it_was_made_from_is_said(studio: Studio, origin: Edit | Morph, words: tuple[str, ...]) -> None:
    said = "\n".join(describe(inspect(studio, encode_png(IMAGE, Recipe(REQUEST, GONE, origin=origin)))))
    assert all(word in said for word in words)


def test_a_mark_without_a_recipe_and_no_mark_are_no_proof(studio: Studio, tmp_path: Path) -> None:
    PILImage.new("L", (64, 48)).save(tmp_path / "x.jpg")
    strip = encode_path_strip([IMAGE, IMAGE], Recipe(REQUEST, GONE))
    for data, reason in (
        (encode_bare_png(IMAGE, {"Description": NOTICE}), "holds no recipe"),
        (encode_bare_png(IMAGE, {KEY: "{"}), "damaged"),
        (strip, "several images"),
    ):
        found = inspect(studio, data)
        assert (found.is_synthetic, found.certainty, found.weights) == (True, "mark", ()) and reason in found.reason
    for data in (encode_bare_png(IMAGE), (tmp_path / "x.jpg").read_bytes()):
        found = inspect(studio, data)
        assert (found.is_synthetic, found.certainty, found.marks) == (None, "none", ())
        assert "no proof of a real image" in next(describe(found))


def test_the_command_writes_lines_or_json(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(studio.output_dir))
    path, recipe = tmp_path / "x.png", Recipe(REQUEST, GONE)
    path.write_bytes(encode_png(IMAGE, recipe))
    assert main([str(path)]) == 0
    assert capsys.readouterr().out.startswith("synthetic: yes, as it says")
    assert main([str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["recipe"] == dump(recipe)
    assert told["weights"] == [{"role": "drawn by", "checkpoint": dump(GONE), "is_here": False}]
    path.write_text("words")
    assert main([str(path)]) == 1
    assert capsys.readouterr().err == "error: This is not an image. Allowed: PNG, JPEG, TIFF, DICOM.\n"
