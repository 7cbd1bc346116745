"""Where the words of a prompt acted, as heat over the film.

Attention says which places of the image drew on a word. It is no proof that what the word names is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from xray_generator.abilities import AttentionMaps
from xray_generator.dashboards.difference import ColorImage
from xray_generator.data.vocabulary import FUNCTION_WORDS
from xray_generator.images import resize_square
from xray_generator.types import Image

COLORS = "inferno"  # perceptually uniform (Smith & van der Walt 2015)
OPACITY = 0.65  # where a word acted most; nowhere where it acted least


@dataclass(frozen=True, slots=True)
class WordShare:
    """How much of the attention a choice of words has."""

    mean: float  # over all positions, in [0, 1]
    most: float  # at the position where it has most


def overlay(maps: AttentionMaps, words: Sequence[int], size: int | None = None) -> ColorImage:
    """The image with the attention of some words together laid over it, brightest where they have most of it.

    Args:
        maps: of one image.
        words: places in `maps.words`; none gives the image itself.
        size: pixels a side; None: those of the image.
    """
    film = maps.image if size is None else resize_square(maps.image, size)
    colored = np.repeat(film[..., None], 3, axis=2)
    if not words:
        return colored
    from matplotlib import colormaps  # takes a while

    heat = _spread(maps.maps[list(words)].sum(axis=0), film)
    veil = OPACITY * heat[..., None]
    return np.asarray((1 - veil) * colored + veil * colormaps[COLORS](heat)[..., :3], np.float32)


def share(maps: AttentionMaps, words: Sequence[int]) -> WordShare:
    """How much attention some words have together; nothing where there are none."""
    if not words:
        return WordShare(0.0, 0.0)
    together = maps.maps[list(words)].sum(axis=0)
    return WordShare(float(together.mean()), float(together.max()))


def most_local(maps: AttentionMaps) -> int | None:
    """The word, other than "a" or "with", whose attention differs most between positions; None without words."""
    spread = {
        place: float(maps.maps[place].std())
        for place, word in enumerate(maps.words)
        if word.strip(".,:;").lower() not in FUNCTION_WORDS
    }
    return max(spread, key=lambda place: spread[place]) if spread else None


def is_same(maps: AttentionMaps, image: Image) -> bool:
    """Whether the maps were recorded while this very image was drawn."""
    return maps.image.shape == image.shape and bool(np.array_equal(maps.image, image))


def _spread(heat: NDArray[np.float32], film: Image) -> NDArray[np.float32]:
    """(h, w) from its least to its most, as [0, 1], at the film's size; 0 where all positions are alike."""
    height, width = film.shape
    low, high = float(heat.min()), float(heat.max())
    level = np.asarray((heat - low) / max(high - low, 1e-6), np.float32)
    fine = cv2.resize(level, (width, height), interpolation=cv2.INTER_CUBIC)  # overshoots a little
    return np.asarray(np.clip(fine, 0, 1), np.float32)
