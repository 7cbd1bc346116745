"""Strips and GIFs: the pixels of every image, its recipe, and the notice."""

import io
import json
from dataclasses import replace

import numpy as np
from PIL import Image as PILImage
from PIL import ImageSequence

from xray_generator.config import parse
from xray_generator.export.animation import (
    END_MS,
    FRAME_MS,
    encode_gif,
    encode_path_gif,
    encode_path_strip,
    encode_row,
    encode_strip,
)
from xray_generator.export.recipe import Recipe, find_recipe, recipes
from xray_generator.images import to_uint8
from xray_generator.types import NOTICE, CheckpointRef, GenerationRequest, GenerationResult, Morph, TextPrompt

FIRST = GenerationRequest(TextPrompt("Normal chest X-ray"), height=32, width=32, seed=3)
SECOND = replace(FIRST, condition=TextPrompt("Chest X-ray, “pneumonia”"), seed=4)


def results(count: int) -> list[GenerationResult]:
    generator = np.random.default_rng(0)
    return [
        GenerationResult(
            (generator.random((32, 32), np.float32),),
            FIRST,
            CheckpointRef("family", "name", "0" * 64),
            (1.0,),
            origin=Morph(SECOND, index / count),
        )
        for index in range(count)
    ]


def test_the_strip_holds_every_picture_and_its_recipe() -> None:
    made = results(3)
    picture = PILImage.open(io.BytesIO(encode_strip(made)))
    assert np.array_equal(np.asarray(picture), np.hstack([to_uint8(result.images[0]) for result in made]))
    assert picture.text["Description"] == NOTICE
    found = [parse(Recipe, recipe) for recipe in json.loads(picture.text["recipes"])]
    assert found == [recipes(result)[0] for result in made]


def test_the_gif_runs_forward_and_back_and_holds_the_notice_and_every_recipe() -> None:
    made = results(4)
    picture = PILImage.open(io.BytesIO(encode_gif(made)))
    frames, durations = [], []
    for frame in ImageSequence.Iterator(picture):
        frames.append(np.asarray(frame.convert("L")))
        durations.append(frame.info["duration"])
    for frame, index in zip(frames, [0, 1, 2, 3, 2, 1], strict=True):
        assert np.array_equal(frame, to_uint8(made[index].images[0]))
    assert durations == [END_MS, FRAME_MS, FRAME_MS, END_MS, FRAME_MS, FRAME_MS]
    picture.seek(0)
    assert picture.info["loop"] == 0
    notice, told = picture.info["comment"].decode().split("\n")
    assert notice == NOTICE and notice.startswith("Synthetic")
    found = [parse(Recipe, recipe) for recipe in json.loads(told)]
    assert found == [recipes(result)[0] for result in made] and all(recipe.synthetic for recipe in found)


def test_equal_pictures_make_equal_files() -> None:
    made = results(2)
    assert encode_gif(made) == encode_gif(made) and encode_strip(made) == encode_strip(made)
    assert len(PILImage.open(io.BytesIO(encode_gif(made))).info["comment"]) > 255  # more than one block of a comment


def test_the_states_of_one_image_have_its_recipe_and_are_not_restored_as_an_image() -> None:
    recipe = recipes(results(1)[0])[0]
    states = [np.random.default_rng(i).random((16, 16), np.float32) for i in range(4)]
    strip = encode_path_strip(states, recipe)
    picture = PILImage.open(io.BytesIO(strip))
    assert np.array_equal(np.asarray(picture), np.hstack([to_uint8(state) for state in states]))
    assert picture.text["Description"] == NOTICE and find_recipe(strip) is None
    assert [parse(Recipe, told) for told in json.loads(picture.text["recipes"])] == [recipe]
    film = PILImage.open(io.BytesIO(encode_path_gif(states, recipe)))
    durations = []
    for frame, state in zip(ImageSequence.Iterator(film), states, strict=True):
        assert np.array_equal(np.asarray(frame.convert("L")), to_uint8(state))
        durations.append(frame.info["duration"])
    assert durations == [END_MS, FRAME_MS, FRAME_MS, END_MS]
    film.seek(0)
    notice, told = film.info["comment"].decode().split("\n")
    assert notice == NOTICE and [parse(Recipe, one) for one in json.loads(told)] == [recipe]


def test_a_row_without_recipes_says_what_it_shows() -> None:
    images = [np.full((16, 16), value, np.float32) for value in (0.0, 1.0)]
    picture = PILImage.open(io.BytesIO(encode_row(images, "Real images.")))
    assert getattr(picture, "text", {})["Description"].startswith("Real images. ")
    assert np.array_equal(np.asarray(picture), np.concatenate([to_uint8(image) for image in images], axis=1))
