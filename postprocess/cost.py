"""The cost of an enhancement: saturation, entropy, and structural similarity to the raw image.

An enhanced image never holds more information than the raw one; these figures say how much less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.measure import shannon_entropy
from skimage.metrics import structural_similarity

from xray_generator.images import to_uint8
from xray_generator.types import Image, StudioError

MIN_SIDE = 7  # the window of structural similarity


@dataclass(frozen=True, slots=True)
class Cost:
    """Figures of one enhancement, on images rounded to 8 bits except the similarity."""

    saturated_fraction: float  # pixels at 0 or 255 after, 0..1
    raw_saturated_fraction: float  # the same before, 0..1
    newly_saturated_fraction: float  # pixels at 0 or 255 after that were not before, 0..1
    entropy_change: float  # Shannon entropy of the gray levels, after - before, bits per pixel
    ssim_to_raw: float  # structural similarity, skimage's defaults with data_range 1; 1 = unchanged
    black_fraction: float  # pixels at 0 after, 0..1
    white_fraction: float  # pixels at 255 after, 0..1


def measure_cost(raw: Image, enhanced: Image) -> Cost:
    """Compare an (H, W) image in [0, 1] with its enhanced version (scikit-image's measures).

    Raises:
        StudioError: shapes differ, a side is under 7 pixels, or a value is not finite.
    """
    if raw.shape != enhanced.shape or raw.ndim != 2 or min(raw.shape) < MIN_SIDE:
        raise StudioError(
            f"The raw image {raw.shape} and the enhanced image {enhanced.shape} must have one common "
            f"height and width of {MIN_SIDE} pixels or more."
        )
    before, after = to_uint8(raw), to_uint8(enhanced)
    was_saturated, is_saturated = _find_saturated(before), _find_saturated(after)
    return Cost(
        saturated_fraction=float(is_saturated.mean()),
        raw_saturated_fraction=float(was_saturated.mean()),
        newly_saturated_fraction=float((is_saturated & ~was_saturated).mean()),
        entropy_change=float(shannon_entropy(after) - shannon_entropy(before)),
        ssim_to_raw=float(structural_similarity(raw, enhanced, data_range=1)),
        black_fraction=float((after == 0).mean()),
        white_fraction=float((after == 255).mean()),
    )


def _find_saturated(levels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.isin(levels, (0, 255))
