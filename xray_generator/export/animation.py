"""Several images in one file: side by side as a PNG, or as frames of a GIF, forward and back.

Both hold the recipe of every image and say that it is synthetic; equal images give equal bytes. The states of one image
along its trajectory have the recipe of that image.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

from PIL import Image as PILImage

from xray_generator.config import dump
from xray_generator.export.marks import SEVERAL, SOFTWARE, mark_chunks
from xray_generator.export.recipe import Recipe, recipes
from xray_generator.images import encode_png, grid, to_uint8
from xray_generator.types import NOTICE, PURPOSE, GenerationResult, Image

FRAME_MS, END_MS = 150, 900  # the first and the last image are shown longer


def encode_strip(results: Sequence[GenerationResult]) -> bytes:
    """8-bit gray PNG of each result's first image in one row, recipes in the text chunk `recipes`; equal sizes only."""
    return _encode_row([result.images[0] for result in results], _first_recipes(results))


def encode_gif(results: Sequence[GenerationResult]) -> bytes:
    """Endless GIF of each result's first image, forward and back, 256 gray levels.

    Its one comment holds the notice, then the recipes of the forward frames as a JSON list.
    """
    images = [result.images[0] for result in results]
    return _encode_gif([*images, *images[-2:0:-1]], _first_recipes(results), len(images) - 1)  # the ends occur once


def encode_path_strip(states: Sequence[Image], recipe: Recipe, note: str = "") -> bytes:
    """8-bit gray PNG of the states (H, W) of one image in a row, its recipe in the text chunk `recipes`.

    `note` follows the notice and says what the states are, if the recipe does not.
    """
    return _encode_row(states, [recipe], note)


def encode_path_gif(states: Sequence[Image], recipe: Recipe, note: str = "", *, is_returning: bool = False) -> bytes:
    """Endless GIF of the states of one image from first to last and, if returning, back; comment as in `encode_gif`.

    `note` as for `encode_path_strip`.
    """
    frames = [*states, *states[-2:0:-1]] if is_returning else states
    return _encode_gif(frames, [recipe], len(states) - 1, note)


def encode_row(images: Sequence[Image], note: str) -> bytes:
    """8-bit gray PNG of images (H, W) without recipes in a row; its description is `note` and the purpose."""
    text = {"Description": f"{note} {PURPOSE}", "Software": SOFTWARE}
    return encode_png(grid(images, len(images)), text)


def _encode_row(images: Sequence[Image], made_by: Sequence[Recipe], note: str = "") -> bytes:
    text = {SEVERAL: _json(made_by), **mark_chunks(f"{NOTICE} {note}".strip())}
    return encode_png(grid(images, len(images)), text)


def _encode_gif(images: Sequence[Image], made_by: Sequence[Recipe], last: int, note: str = "") -> bytes:
    """A GIF that shows frames 0 and `last` longer."""
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
        comment="\n".join([f"{NOTICE} {note}".strip(), _json(made_by)]).encode(),
    )
    return buffer.getvalue()


def _first_recipes(results: Sequence[GenerationResult]) -> list[Recipe]:
    return [recipes(result)[0] for result in results]


def _json(made_by: Sequence[Recipe]) -> str:
    return json.dumps([dump(recipe) for recipe in made_by], ensure_ascii=False, sort_keys=True)
