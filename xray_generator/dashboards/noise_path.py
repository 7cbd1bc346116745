"""The way of one image from noise: some of its states, and how its gray levels come to be as those of real images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray_generator.dicom.hounsfield import Window
from xray_generator.evaluation.records import Curve
from xray_generator.images import to_uint8
from xray_generator.types import Image

NUM_BINS = 64  # where no training images give theirs


@dataclass(frozen=True, slots=True)
class State:
    """An image on its way, at a noise level: 1 is noise, 0 the image."""

    sigma: float
    image: Image


def states(path: Sequence[Image], count: int = 8) -> tuple[State, ...]:
    """At most `count` states of a way of equal steps, evenly chosen, both ends among them."""
    last = len(path) - 1
    places = sorted({round(i * last / max(1, count - 1)) for i in range(count)})
    return tuple(State(1 - place / max(1, last), path[place]) for place in places)


def ends_at(path: Sequence[Image], image: Image) -> bool:
    """Whether a way leads to an image, in 8 bits."""
    return path[-1].shape == image.shape and bool((to_uint8(path[-1]) == to_uint8(image)).all())


def intensity_curve(path: Sequence[Image], intensity: Mapping[str, object], window: Window | None) -> Curve:
    """Shares of the pixels by gray level: of the noise, of the image, and of the training images where known.

    Args:
        path: from the noise to the image.
        intensity: of a manifest's metrics: edges, shares `train` and number `n`; another layout counts as not known.
        window: the Hounsfield units that gray 0 to 1 are; None: the scale is gray.
    """
    edges, real = _real(intensity)
    centers = ((edges[:-1] + edges[1:]) / 2).astype(np.float32)
    lines = {"noise": _shares(path[0], edges), "generated: this image": _shares(path[-1], edges), **real}
    x, unit = (centers, "gray level, 0 to 1") if window is None else (window.invert(centers), "HU")
    return Curve("Intensities", unit, "share of pixels", tuple(map(float, x)), dict(lines))


def _real(intensity: Mapping[str, object]) -> tuple[NDArray[np.float64], dict[str, tuple[float, ...]]]:
    """Edges of the bins, and the line of the training images, where they were counted."""
    try:
        edges = np.array(intensity.get("edges"), np.float64)
        shares = np.array(intensity.get("train"), np.float64)
    except (TypeError, ValueError):
        edges = shares = np.zeros(0)
    if edges.ndim != 1 or shares.shape != (len(edges) - 1,) or not (np.diff(edges) > 0).all():
        return np.linspace(0, 1, NUM_BINS + 1), {}
    return edges, {f"real: {intensity.get('n', 'unknown number of')} training images": tuple(shares.tolist())}


def _shares(image: Image, edges: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple((np.histogram(image, edges)[0] / image.size).tolist())
