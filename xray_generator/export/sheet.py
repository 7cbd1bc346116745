"""A contact sheet: labeled rows of images as one PNG."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw

from xray_generator.export.marks import SOFTWARE
from xray_generator.images import encode_png, from_uint8, grid
from xray_generator.types import PURPOSE, Image

REAL_NOTICE = f"Images of the dataset, not generated. {PURPOSE}"  # the set may hold drawn phantoms
MIN_WIDTH = 480  # pixels of a sheet, so that its labels can be read
LINE_HEIGHT, CHARACTER_WIDTH = 14, 6  # pixels


@dataclass(frozen=True, slots=True)
class SheetRow:
    """Images of one size, and a label that begins with a notice of what they are."""

    label: str
    images: Sequence[Image]


def encode_sheet(rows: Sequence[SheetRow], num_columns: int) -> bytes:
    """Encode labeled rows as one PNG, `num_columns` images to a line; its text chunk repeats the labels."""
    blocks = [grid(row.images, num_columns) for row in rows]
    width = max(MIN_WIDTH, *(block.shape[1] for block in blocks))
    strips = []
    for row, block in zip(rows, blocks, strict=True):
        strips += [_draw_label(row.label, width), np.pad(block, ((0, 0), (0, width - block.shape[1])))]
    description = "\n".join(row.label for row in rows)
    return encode_png(np.concatenate(strips), {"Description": description, "Software": SOFTWARE})


def _draw_label(text: str, width: int) -> Image:
    lines = textwrap.wrap(text, width // CHARACTER_WIDTH)
    banner = PILImage.new("L", (width, LINE_HEIGHT * len(lines) + 4), 0)
    ImageDraw.Draw(banner).multiline_text((4, 1), "\n".join(lines), fill=230, spacing=2)
    return from_uint8(np.asarray(banner))
