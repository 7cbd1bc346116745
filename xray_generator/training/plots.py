"""Preview grids of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xray_generator.images import encode_png, grid
from xray_generator.types import Image


def save_grid(images: Sequence[Image], path: Path, num_columns: int = 8) -> None:
    """Write equally sized images as one grid of `num_columns`, row by row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(grid(images, num_columns)))
