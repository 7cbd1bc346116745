"""The trajectory of one image from noise: some of its states, and its intensities beside those of real images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xray_generator.checkpoints import IntensityHistogram
from xray_generator.dicom.hounsfield import Window
from xray_generator.evaluation.records import Curve
from xray_generator.images import to_uint8
from xray_generator.types import Image

NUM_BINS = 64  # without a histogram of the training images


@dataclass(frozen=True, slots=True)
class State:
    """A noisy image of the trajectory at noise level sigma: 1 is noise, 0 the finished image."""

    sigma: float
    image: Image


def states(path: Sequence[Image], count: int = 8) -> tuple[State, ...]:
    """At most `count` evenly spaced states of a trajectory, both ends included; `path` has equal steps of sigma."""
    last = len(path) - 1
    return tuple(State(1 - place / max(1, last), path[place]) for place in spread_places(len(path), count))


def spread_places(length: int, count: int) -> list[int]:
    """At most `count` evenly spread places of a sequence, both ends included."""
    return sorted({round(i * (length - 1) / max(1, count - 1)) for i in range(count)})


def ends_at(path: Sequence[Image], image: Image) -> bool:
    """Whether a trajectory ends at an image, compared in 8 bits."""
    return path[-1].shape == image.shape and bool((to_uint8(path[-1]) == to_uint8(image)).all())


def intensity_curve(path: Sequence[Image], training: IntensityHistogram | None, window: Window | None) -> Curve:
    """Histograms, as shares of pixels, of the noise, of the finished image and of the training images if known.

    Args:
        path: from the noise to the image.
        training: of the training images; None or inconsistent: not known.
        window: the Hounsfield units of gray 0 to 1; None: the axis shows gray levels.
    """
    edges, lines = np.linspace(0, 1, NUM_BINS + 1), {}
    if training is not None and len(training.train) == len(training.edges) - 1 and (np.diff(training.edges) > 0).all():
        edges = np.array(training.edges)
        lines = {f"real: {training.n:,} training images": training.train}
    counted = {"noise": path[0], "generated: this image": path[-1]}
    shares = {name: tuple((np.histogram(image, edges)[0] / image.size).tolist()) for name, image in counted.items()}
    centers = ((edges[:-1] + edges[1:]) / 2).astype(np.float32)
    x, unit = (centers, "gray level, 0 to 1") if window is None else (window.invert(centers), "HU")
    return Curve("Intensities", unit, "share of pixels", tuple(map(float, x)), shares | lines)
