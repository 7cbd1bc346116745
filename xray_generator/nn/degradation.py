"""From an image to a low-resolution version of it, as the network sees it in training and use."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from xray_generator.images import resize_square
from xray_generator.types import Image


@dataclass(frozen=True, slots=True)
class Degradation:
    """The noise and blur of a low-resolution image. Zero: a real image scaled down."""

    noise: float = 0.0  # standard deviation, gray from 0 to 1
    blur: float = 0.0  # standard deviation of a Gaussian, in pixels of the low-resolution image


CLEAN = Degradation()


def scale_down(image: Image, side: int, blur: float = 0.0) -> Image:
    """Scale a square image down to `side` by area and blur it there: (side, side) in [0, 1]."""
    small = resize_square(image, side)
    return small if blur <= 0 else np.asarray(cv2.GaussianBlur(small, (0, 0), blur), np.float32)


def add_noise(image: Image, deviation: float, generator: torch.Generator) -> Image:
    """Add Gaussian noise from the generator; values may leave [0, 1] until the image is enlarged."""
    if deviation <= 0:
        return image
    noise = torch.randn(image.shape, generator=generator).numpy()
    return np.asarray(image + deviation * noise, np.float32)
