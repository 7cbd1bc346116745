"""The latent noise of an image, as `generation.likelihood` finds it, beside the standard normal."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from xray_generator.evaluation.records import Curve
from xray_generator.types import Image

REACH = 4.0  # standard deviations of noise that are shown
NUM_BINS = 41  # odd: one stands for 0


def noise_image(noise: NDArray[np.float32]) -> Image:
    """Noise (H, W) in standard deviations as an image: -4 is black, 4 white."""
    return np.asarray(np.clip(noise / (2 * REACH) + 0.5, 0, 1), np.float32)


def noise_curve(noise: NDArray[np.float32]) -> Curve:
    """The density of noise beside the standard normal; what lies beyond 4 deviations counts at the ends."""
    edges = np.linspace(-REACH, REACH, NUM_BINS + 1)
    centers, width = (edges[:-1] + edges[1:]) / 2, edges[1] - edges[0]
    density = np.histogram(np.clip(noise, -REACH, REACH), edges)[0] / noise.size / width
    normal = np.exp(-(centers**2) / 2) / math.sqrt(2 * math.pi)
    lines: dict[str, tuple[float | None, ...]] = {
        "standard normal": tuple(normal.tolist()),
        "this image's noise": tuple(density.tolist()),
    }
    return Curve("Noise", "standard deviations", "density", tuple(centers.tolist()), lines)
