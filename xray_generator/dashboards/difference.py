"""What an edit changed in gray levels: the signed difference as a color map, and strips and sheets of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont

from xray_generator.images import encode_png, from_uint8, grid, resize_square
from xray_generator.types import Image, StudioError

ColorImage = NDArray[np.float32]  # (H, W, 3), values in [0, 1]

COLORS = "berlin"  # Crameri 2018, matplotlib: perceptually uniform, blue for less, black for equal, red for more
GAINS = (1, 2, 4, 8, 16)
QUANTILE = 0.99  # of the absolute differences: the gain is the largest that does not clip it


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """An image after an edit minus the image before."""

    signed: Image  # (H, W) in [-1, 1], as a fraction of the gray scale
    gain: int  # of the map: a difference of 1 / gain has the full color

    @property
    def mean_absolute(self) -> float:
        """In [0, 1], as a fraction of the gray scale."""
        return float(np.abs(self.signed).mean())

    def map(self) -> ColorImage:
        """Blue: the image became darker; red: brighter; black: unchanged."""
        from matplotlib import colormaps  # slow to import

        shown = np.clip(self.signed * self.gain, -1, 1) / 2 + 0.5
        return np.asarray(colormaps[COLORS](shown)[..., :3], np.float32)


def difference(before: Image, after: Image) -> Difference:
    """The difference of two images (H, W) in [0, 1], with the largest gain that clips at most 1 % of it.

    Raises:
        StudioError: they differ in shape.
    """
    if before.shape != after.shape:
        raise StudioError(f"Images of {before.shape} and {after.shape} pixels cannot be compared.")
    signed = np.asarray(after - before, np.float32)
    reach = float(np.quantile(np.abs(signed), QUANTILE))
    return Difference(signed, max((gain for gain in GAINS if gain * reach <= 1), default=1))


def comparison_strip(panels: Mapping[str, Image | ColorImage], text: Mapping[str, str]) -> bytes:
    """A PNG of panels of equal height side by side, each above its name, with `text` as text chunks."""
    parts = [_with_name(name, _colored(panel)) for name, panel in panels.items()]
    return encode_png(np.concatenate(parts, axis=1), text)


def _colored(panel: Image | ColorImage) -> ColorImage:
    return np.asarray(panel if panel.ndim == 3 else np.repeat(panel[..., None], 3, axis=2), np.float32)


def _with_name(name: str, panel: ColorImage) -> ColorImage:
    height, width, _ = panel.shape
    size = max(10, width // 20)
    footer = PILImage.new("RGB", (width, 2 * size), "black")
    ImageDraw.Draw(footer).text((size // 2, size // 3), name, "white", ImageFont.load_default(size))
    return np.concatenate([panel, from_uint8(np.asarray(footer))], axis=0).reshape(height + 2 * size, width, 3)


def contact_sheet(pairs: Sequence[tuple[Image, Image]], num_columns: int, size: int) -> Image:
    """Pairs of images, `size` pixels a side: a row of first ones above a row of second ones, and so on."""
    rows: list[Image] = []
    for start in range(0, len(pairs), num_columns):
        part = [[resize_square(image, size) for image in images] for images in pairs[start : start + num_columns]]
        free = [np.zeros((size, size), np.float32)] * (min(num_columns, len(pairs)) - len(part))
        for side in (0, 1):
            rows += [*(images[side] for images in part), *free]
    return grid(rows, min(num_columns, len(pairs)))
