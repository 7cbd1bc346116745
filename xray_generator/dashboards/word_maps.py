"""Cross-attention of the words of a prompt as heat over the image.

Attention says which places of the image drew on a word. It does not prove that what the word names is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from xray_generator.abilities import AttentionMaps
from xray_generator.dashboards.difference import ColorImage
from xray_generator.data.vocabulary import FUNCTION_WORDS
from xray_generator.images import resize_square, to_uint8
from xray_generator.types import Image

COLORS = "inferno"  # perceptually uniform (Smith & van der Walt 2015)
OPACITY = 0.65  # at the position with the most attention; 0 at that with the least


@dataclass(frozen=True, slots=True)
class WordShare:
    """The share of all attention that some words have together, in [0, 1]."""

    mean: float  # over all positions
    most: float  # at the position where it is greatest


def overlay(maps: AttentionMaps, words: Sequence[int], size: int | None = None) -> ColorImage:
    """The image under a heat map of the summed attention of some words, scaled from least to most.

    Args:
        maps: of one image.
        words: places in `maps.words`; none gives the image itself, as do words that act everywhere alike.
        size: pixels a side; None: those of the image.
    """
    image = maps.image if size is None else resize_square(maps.image, size)
    colored = np.repeat(image[..., None], 3, axis=2)
    if not words:
        return colored
    from matplotlib import colormaps  # slow to import

    summed = maps.maps[list(words)].sum(axis=0)
    level = np.asarray((summed - summed.min()) / max(float(np.ptp(summed)), 1e-6), np.float32)
    heat = np.clip(cv2.resize(level, image.shape[::-1], interpolation=cv2.INTER_CUBIC), 0, 1)  # cubic overshoots
    opacity = OPACITY * heat[..., None]
    return np.asarray((1 - opacity) * colored + opacity * colormaps[COLORS](heat)[..., :3], np.float32)


def share(maps: AttentionMaps, words: Sequence[int]) -> WordShare:
    """The attention that some words have together; 0 without words."""
    if not words:
        return WordShare(0.0, 0.0)
    summed = maps.maps[list(words)].sum(axis=0)
    return WordShare(float(summed.mean()), float(summed.max()))


def most_local(maps: AttentionMaps) -> int | None:
    """The word whose attention varies most between positions, function words aside; None without words."""
    deviations = {
        place: float(maps.maps[place].std())
        for place, word in enumerate(maps.words)
        if word.strip(".,:;").lower() not in FUNCTION_WORDS
    }
    return max(deviations, key=lambda place: deviations[place]) if deviations else None


def is_same(maps: AttentionMaps, image: Image) -> bool:
    """Whether the attention was recorded while generating this image, compared in 8 bits."""
    return maps.image.shape == image.shape and bool((to_uint8(maps.image) == to_uint8(image)).all())
