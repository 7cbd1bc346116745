"""Pictures that belong together in one file: side by side as a PNG, or one after the other, there and back, as a GIF.

Both hold the recipe of every picture and say that it is synthetic; both are the same bytes each time.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

from PIL import Image as PILImage

from xray_generator import __version__
from xray_generator.config import dump
from xray_generator.export.recipe import recipes
from xray_generator.images import encode_png, grid, to_uint8
from xray_generator.types import NOTICE, GenerationResult

KEY = "recipes"  # not `parameters`: that chunk is one picture's recipe
FRAME_MS, END_MS = 150, 900  # the two ends stand longer


def encode_strip(results: Sequence[GenerationResult]) -> bytes:
    """8-bit grey PNG of each result's first image in one row, recipes in the text chunk `recipes`; equal sizes only."""
    row = grid([result.images[0] for result in results], len(results))
    text = {KEY: _recipes(results), "Description": NOTICE, "Software": f"xray_generator {__version__}"}
    return encode_png(row, text)


def encode_gif(results: Sequence[GenerationResult]) -> bytes:
    """Endless GIF of each result's first image, forth and back, 256 levels of grey.

    GIF has one comment for all its frames: it says that they are synthetic, then has the recipes of the way forth as a
    JSON list.
    """
    frames = [PILImage.fromarray(to_uint8(result.images[0])) for result in results]
    durations = [END_MS if index in (0, len(frames) - 1) else FRAME_MS for index in range(len(frames))]
    back = slice(-2, 0, -1)  # the ends are not shown twice
    buffer = io.BytesIO()
    frames[0].save(
        buffer, format="GIF", save_all=True, append_images=[*frames[1:], *frames[back]], loop=0, optimize=False,
        duration=[*durations, *durations[back]], comment=f"{NOTICE}\n{_recipes(results)}".encode(),
    )  # fmt: skip
    return buffer.getvalue()


def _recipes(results: Sequence[GenerationResult]) -> str:
    return json.dumps([dump(recipes(result)[0]) for result in results], ensure_ascii=False, sort_keys=True)
