"""Intervals by the bootstrap (Efron 1979), and equally large splits of two sets: what makes a number comparable.

The images of one patient are alike. So an interval draws whole patients where they are known, and a split takes one
image of each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def mean_interval(
    values: Floats, rng: np.random.Generator, num_resamples: int = 1000, owners: NDArray[np.str_] | None = None
) -> Interval | None:
    """95 % percentile interval of the mean of (N,) values; None under ten of them, or of their owners."""
    return interval(lambda sample: float(sample.mean()), (values,), rng, num_resamples, owners=(owners,))


def interval(
    statistic: Callable[..., float],
    samples: tuple[Floats, ...],
    rng: np.random.Generator,
    num_resamples: int = 200,
    center: float | None = None,
    owners: Sequence[NDArray[np.str_] | None] = (),
) -> Interval | None:
    """95 % percentile interval of `statistic(*samples)`, each sample drawn anew with replacement along its first axis.

    Args:
        statistic: a number from samples, finite for every draw.
        samples: arrays (N, ...), drawn independently.
        rng: of the draws.
        num_resamples: how many draws.
        center: moves the interval so that the draws' mean lies here. For distances between sets: a draw repeats
            images, which alone makes a set look farther away.
        owners: of each sample (N,) the patients, who are then drawn with all that is theirs; None: each for itself.

    Returns:
        (low, high), or None where a sample holds fewer than ten, or is of fewer than ten patients.
    """
    known = [*owners, *[None] * (len(samples) - len(owners))]
    members = [_members(owner, len(sample)) for owner, sample in zip(known, samples, strict=True)]
    if min(map(len, members)) < MIN_SAMPLES:
        return None
    draws = [
        statistic(*(sample[_draw(parts, rng)] for sample, parts in zip(samples, members, strict=True)))
        for _ in range(num_resamples)
    ]
    shift = 0.0 if center is None else center - float(np.mean(draws))
    low, high = np.quantile(draws, LEVELS) + shift
    return float(low), float(high)


def _members(owners: NDArray[np.str_] | None, count: int) -> list[Places]:
    """The places of each owner."""
    if owners is None:
        return list(np.arange(count)[:, None])
    order = np.argsort(owners, kind="stable")
    return np.split(order, np.flatnonzero(owners[order][1:] != owners[order][:-1]) + 1)


def _draw(members: list[Places], rng: np.random.Generator) -> Places:
    return np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])


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

    Each takes one image of a patient: several would make one half of the real images look far from the other. Of
    generated images it takes one of those that were asked for a patient's films, so that both sides have one mix.
    """
    owners = groups(generated), groups(real)
    splits = []
    for _ in range(num_splits):
        drawn, films = (_one_each(names, rng) for names in owners)
        size = min(len(drawn), len(films) // 2)
        splits.append(Split(drawn[:size], films[:size], films[len(films) - size :]))
    return tuple(splits)


def _one_each(owners: NDArray[np.str_], rng: np.random.Generator) -> Places:
    """One place of each owner, owners and places in random order."""
    order = rng.permutation(len(owners))
    _, first = np.unique(owners[order], return_index=True)
    return np.asarray(order[rng.permutation(first)])
