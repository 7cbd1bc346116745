"""Preview grids of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xray_generator.images import encode_png
from xray_generator.types import Image


def save_grid(images: Sequence[Image], path: Path, num_columns: int = 8) -> None:
    """Write equally sized images as one grid of `num_columns`, row by row."""
    height, width = images[0].shape
    num_rows = -(-len(images) // num_columns)
    grid = np.zeros((num_rows * height, min(num_columns, len(images)) * width), np.float32)
    for i, image in enumerate(images):
        top, left = i // num_columns * height, i % num_columns * width
        grid[top : top + height, left : left + width] = image
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(grid))
