"""Fit an image of any shape into a square, aspect ratio kept, and remember which part of the square is content."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from xray_generator.types import Image, StudioError


@dataclass(frozen=True, slots=True)
class FittedImage:
    """A square image and the box of its content in pixels; the rest is padding."""

    image: Image  # (size, size) in [0, 1]
    top: int
    left: int
    height: int
    width: int

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the content."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def mask(self) -> Image:
        """(size, size): 1 on content, 0 on padding, so that a loss can leave out the padding."""
        mask = np.zeros_like(self.image)
        mask[self.box] = 1.0
        return mask


def fit_square(image: Image, size: int) -> FittedImage:
    """Scale the long side to `size` (area down, bicubic up) and pad with the mean of the edge pixels.

    Raises:
        StudioError: the size is less than one pixel.
    """
    if size < 1:
        raise StudioError(f"The size must be 1 pixel or more, not {size}.")
    scale = size / max(image.shape)
    height, width = (min(size, max(1, round(side * scale))) for side in image.shape)
    if (height, width) != image.shape:
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        image = np.asarray(np.clip(cv2.resize(image, (width, height), interpolation=method), 0.0, 1.0), np.float32)
    edges = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
    square = np.full((size, size), edges.mean(), np.float32)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = image
    return FittedImage(square, top, left, height, width)
