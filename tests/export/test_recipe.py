"""The recipe inside a PNG: complete, reproducible, and always with the notice."""

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage
from PIL.PngImagePlugin import PngInfo

from xray_generator.config import dump
from xray_generator.export.pictures import file_name
from xray_generator.export.recipe import KEY, PARAMETERS, Recipe, encode_png, read_recipe, recipes
from xray_generator.images import encode_png as encode_bare_png
from xray_generator.types import (
    NOTICE,
    CheckpointRef,
    ClassLabel,
    GenerationRequest,
    GenerationResult,
    StudioError,
    TextPrompt,
    Unconditional,
)

REQUEST = GenerationRequest(TextPrompt("Caf\u00e9 \U0001fac1 <b>"), 2, 64, 64, 20, 3.0, "dpm++", 2**31)
CHECKPOINT = CheckpointRef("latent_diffusion", "tiny", "ab" * 32)
IMAGE = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
RUNTIME = {"torch": "2", "device": "cpu, some", "dtype": "float32", "threads": 2}
RESULT = GenerationResult((IMAGE, IMAGE[::-1]), REQUEST, CHECKPOINT, (1.0, 2.0), runtime=RUNTIME)


def text_chunks(data: bytes) -> dict[str, str]:
    return dict(PILImage.open(io.BytesIO(data)).text)


def png_with(text: str, key: str = KEY) -> bytes:
    chunks, buffer = PngInfo(), io.BytesIO()
    chunks.add_itxt(key, text)
    PILImage.fromarray(np.zeros((16, 16), np.uint8)).save(buffer, "PNG", pnginfo=chunks)
    return buffer.getvalue()


def test_recipe_survives_the_round_trip() -> None:
    for recipe in recipes(RESULT):
        assert read_recipe(encode_png(IMAGE, recipe)) == recipe


def test_recipe_of_an_earlier_version_is_read_and_the_settings_of_others_are_not() -> None:
    recipe = recipes(RESULT)[0]
    assert read_recipe(png_with(json.dumps(dump(recipe)), PARAMETERS)) == recipe
    for text in ("a dog\nSteps: 20, Sampler: Euler a, Seed: 1", '{"prompt": "a dog", "seed": 1}'):
        with pytest.raises(StudioError):
            read_recipe(png_with(text, PARAMETERS))


@pytest.mark.parametrize("condition", [TextPrompt("7"), ClassLabel("normal"), Unconditional()])
def test_every_kind_of_condition_survives(condition: Any) -> None:
    recipe = Recipe(replace(REQUEST, condition=condition), CHECKPOINT)
    assert read_recipe(encode_png(IMAGE, recipe)).request.condition == condition


def test_each_image_has_a_recipe_of_its_own() -> None:
    first, second = recipes(RESULT)
    assert (first.request.seed, second.request.seed) == (2**31, 2**31 + 1)
    assert first.request.num_images == second.request.num_images == 1
    assert first.checkpoint == CHECKPOINT
    assert first.runtime == second.runtime == RUNTIME


def test_file_says_that_it_is_synthetic() -> None:
    chunks = text_chunks(encode_png(IMAGE, recipes(RESULT)[0]))
    assert chunks["Description"] == NOTICE
    assert json.loads(chunks[KEY])["synthetic"] is True
    assert "Not for diagnosis" in json.loads(chunks[KEY])["notice"]


def test_equal_recipes_make_equal_bytes() -> None:
    first, second = (encode_png(IMAGE, recipes(RESULT)[0]) for _ in range(2))
    assert first == second


def test_digest_differs_where_anything_differs() -> None:
    recipe = recipes(RESULT)[0]
    others = [
        replace(recipe, request=replace(recipe.request, seed=3)),
        replace(recipe, request=replace(recipe.request, guidance_scale=3.5)),
        replace(recipe, request=replace(recipe.request, condition=TextPrompt("other"))),
        replace(recipe, checkpoint=replace(CHECKPOINT, sha256="cd" * 32)),
        replace(recipe, preset={"name": "Balanced"}),
    ]
    assert len({other.digest for other in [recipe, *others]}) == 6
    assert replace(recipe).digest == recipe.digest


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        b"\x89PNG\r\n\x1a\n",
        encode_bare_png(IMAGE),
        encode_png(IMAGE, recipes(RESULT)[0])[:200],
        png_with(""),
        png_with("{"),
        png_with("[]"),
        png_with("null"),
        png_with("[" * 100_000),
        png_with('{"request": ' + "1" * 5_000 + "}"),
        png_with('{"request": {}, "checkpoint": {}}'),
    ],
)
def test_foreign_files_are_refused(data: bytes) -> None:
    with pytest.raises(StudioError):
        read_recipe(data)


def test_text_bomb_is_refused() -> None:
    chunks, buffer = PngInfo(), io.BytesIO()
    chunks.add_text(KEY, "0" * 70_000_000, zip=True)
    PILImage.fromarray(np.zeros((16, 16), np.uint8)).save(buffer, "PNG", pnginfo=chunks)
    with pytest.raises(StudioError):
        read_recipe(buffer.getvalue())


@pytest.mark.parametrize("change", [{"num_images": 10**6}, {"seed": -1}, {"height": 33}, {"guidance_scale": 1e9}])
def test_recipe_with_a_wrong_request_is_refused(change: dict[str, Any]) -> None:
    data = json.loads(text_chunks(encode_png(IMAGE, recipes(RESULT)[0]))[KEY])
    data["request"].update(change)
    with pytest.raises(StudioError, match="request"):
        read_recipe(png_with(json.dumps(data)))


@pytest.mark.parametrize("name", ["../../etc/tiny", "/etc/tiny", "tiny"])
def test_a_foreign_recipe_names_no_place_outside(name: str) -> None:
    recipe = replace(recipes(RESULT)[0], checkpoint=CheckpointRef("latent_diffusion", name, "ab" * 32))
    assert file_name(recipe) == f"tiny_seed{recipe.request.seed}_{recipe.digest}.png"
