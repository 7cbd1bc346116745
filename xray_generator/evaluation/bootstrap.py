"""Intervals by the bootstrap (Efron 1979), and equally large splits of two sets: what makes a number comparable.

Images are drawn, not patients: where one patient has many images, the intervals are somewhat too narrow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.labels import patients

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
Interval = tuple[float, float]

LEVELS = (0.025, 0.975)  # of a 95 % interval
MIN_SAMPLES = 10  # fewer have no honest interval


def mean_interval(values: Floats, rng: np.random.Generator, num_resamples: int = 1000) -> Interval | None:
    """95 % percentile interval of the mean of (N,) values; None under ten of them."""
    return interval(lambda sample: float(sample.mean()), (values,), rng, num_resamples)


def interval(
    statistic: Callable[..., float], samples: tuple[Floats, ...], rng: np.random.Generator, num_resamples: int = 200,
    center: float | None = None,
) -> Interval | None:  # fmt: skip
    """95 % percentile interval of `statistic(*samples)`, each sample drawn anew with replacement along its first axis.

    Args:
        statistic: a number from samples, finite for every draw.
        samples: arrays (N, ...), drawn independently.
        rng: of the draws.
        num_resamples: how many draws.
        center: moves the interval so that the draws' mean lies here. For distances between sets: a draw repeats
            images, which alone makes a set look farther away.

    Returns:
        (low, high), or None where a sample holds fewer than ten.
    """
    if min(len(sample) for sample in samples) < MIN_SAMPLES:
        return None
    draws = [statistic(*(s[rng.integers(len(s), size=len(s))] for s in samples)) for _ in range(num_resamples)]
    shift = 0.0 if center is None else center - float(np.mean(draws))
    low, high = np.quantile(draws, LEVELS) + shift
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Split:
    """Places of three equally large samples; the two of real images share none."""

    generated: Places
    real: Places
    other: Places  # the yardstick: as far from `real` as real images are

    @property
    def size(self) -> int:
        """How many images each sample holds."""
        return len(self.real)


def groups(images: ImageSet) -> NDArray[np.str_]:
    """(N,) the patient of each image, or the image itself where nothing is known of it."""
    return (
        patients(images.rows) if images.rows else np.array([f"{images.name} {i}" for i in range(len(images))], np.str_)
    )


def matched_splits(
    generated: ImageSet, real: ImageSet, rng: np.random.Generator, num_splits: int = 5
) -> tuple[Split, ...]:
    """Random splits into equally large samples of min(generated, real / 2), since distances depend on the number.

    A patient's real images stay in one half, but for the patient at the seam.
    """
    size = min(len(generated), len(real) // 2)
    names, owner = np.unique(groups(real), return_inverse=True)
    splits = []
    for _ in range(num_splits):
        order = np.argsort(rng.permutation(len(names))[owner], kind="stable")  # patient by patient
        splits.append(Split(rng.permutation(len(generated))[:size], order[:size], order[len(order) - size :]))
    return tuple(splits)
