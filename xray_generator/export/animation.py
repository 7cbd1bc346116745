"""Pictures that belong together in one file: side by side as a PNG, or one after the other, there and back, as a GIF.

Both hold the recipe of every picture and say that it is synthetic; both are the same bytes each time. The states of one
image on its way from noise have that image's recipe.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

from PIL import Image as PILImage

from xray_generator import __version__
from xray_generator.config import dump
from xray_generator.export.recipe import Recipe, recipes
from xray_generator.images import encode_png, grid, to_uint8
from xray_generator.types import NOTICE, PURPOSE, GenerationResult, Image

KEY = "recipes"  # not `parameters`: that chunk is one picture's recipe
FRAME_MS, END_MS = 150, 900  # the two ends stand longer


def encode_strip(results: Sequence[GenerationResult]) -> bytes:
    """8-bit gray PNG of each result's first image in one row, recipes in the text chunk `recipes`; equal sizes only."""
    return _row([result.images[0] for result in results], _first_recipes(results))


def encode_gif(results: Sequence[GenerationResult]) -> bytes:
    """Endless GIF of each result's first image, forth and back, 256 levels of gray.

    GIF has one comment for all its frames: it says that they are synthetic, then has the recipes of the way forth as a
    JSON list.
    """
    images = [result.images[0] for result in results]
    return _film([*images, *images[-2:0:-1]], _first_recipes(results), len(images) - 1)  # the ends stand there once


def encode_path_strip(states: Sequence[Image], recipe: Recipe, said: str = "") -> bytes:
    """8-bit gray PNG of the states (H, W) of one image in a row, its recipe in the text chunk `recipes`.

    `said` follows the notice: what the states are, where the recipe does not tell.
    """
    return _row(states, [recipe], said)


def encode_path_gif(states: Sequence[Image], recipe: Recipe, said: str = "", *, is_returning: bool = False) -> bytes:
    """Endless GIF of the states of one image from first to last; the comment as in `encode_gif`, with one recipe.

    `said` as for `encode_path_strip`; returning, it goes back to the first.
    """
    frames = [*states, *states[-2:0:-1]] if is_returning else states
    return _film(frames, [recipe], len(states) - 1, said)


def encode_row(images: Sequence[Image], said: str) -> bytes:
    """8-bit gray PNG of images (H, W) in a row that have no recipe; its description is `said` and the purpose."""
    text = {"Description": f"{said} {PURPOSE}", "Software": f"xray_generator {__version__}"}
    return encode_png(grid(images, len(images)), text)


def _row(images: Sequence[Image], made_by: Sequence[Recipe], said: str = "") -> bytes:
    text = {KEY: _json(made_by), "Description": _notice(said), "Software": f"xray_generator {__version__}"}
    return encode_png(grid(images, len(images)), text)


def _film(images: Sequence[Image], made_by: Sequence[Recipe], last: int, said: str = "") -> bytes:
    """A GIF whose first image and the one at place `last` stand longer."""
    frames = [PILImage.fromarray(to_uint8(image)) for image in images]
    durations = [END_MS if place in (0, last) else FRAME_MS for place in range(len(frames))]
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        loop=0,
        optimize=False,
        duration=durations,
        comment=f"{_notice(said)}\n{_json(made_by)}".encode(),
    )
    return buffer.getvalue()


def _notice(said: str) -> str:
    return f"{NOTICE} {said}".strip()


def _first_recipes(results: Sequence[GenerationResult]) -> list[Recipe]:
    return [recipes(result)[0] for result in results]


def _json(made_by: Sequence[Recipe]) -> str:
    return json.dumps([dump(recipe) for recipe in made_by], ensure_ascii=False, sort_keys=True)
