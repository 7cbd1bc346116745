"""95 % intervals by the bootstrap (Efron 1979). The images of one patient are alike, so whole patients are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Places = NDArray[np.intp]
Interval = tuple[float, float]

LEVELS = (0.025, 0.975)  # of a 95 % interval
MIN_SAMPLES = 10  # fewer have no honest interval


def mean_interval(
    values: Floats, rng: np.random.Generator, num_resamples: int = 1000, owners: NDArray[np.str_] | None = None
) -> Interval | None:
    """Interval of the mean of (N,) values; None under ten of them, or of their owners."""
    return interval(lambda sample: float(sample.mean()), (values,), rng, num_resamples, owners=(owners,))


def interval(
    statistic: Callable[..., float],
    samples: tuple[Floats, ...],
    rng: np.random.Generator,
    num_resamples: int = 200,
    center: float | None = None,
    owners: Sequence[NDArray[np.str_] | None] = (),
) -> Interval | None:
    """Percentile interval of `statistic(*samples)`, each sample drawn anew with replacement along its first axis.

    Args:
        statistic: a number computed from the samples.
        samples: arrays (N, ...), drawn independently.
        rng: of the draws.
        num_resamples: how many draws.
        center: see `bounds`.
        owners: for each sample the patient (N,) of each entry, drawn as a whole; None: each entry by itself.

    Returns:
        (low, high), or None where a sample holds fewer than ten entries, or is of fewer than ten patients.
    """
    groups = [np.arange(len(s)) if o is None else o for s, o in zip_longest(samples, owners)]
    if min(len(np.unique(group)) for group in groups) < MIN_SAMPLES:
        return None
    draws = zip(*(resamples(group, rng, num_resamples) for group in groups), strict=True)
    values = [statistic(*(s[places] for s, places in zip(samples, draw, strict=True))) for draw in draws]
    return bounds(values, center)


def patient_interval(
    statistic: Callable[[Places], float], owners: NDArray[np.str_], rng: np.random.Generator
) -> Interval | None:
    """Percentile interval of a statistic of places, over draws of whole patients (N,), however few these are."""
    return bounds([statistic(places) for places in resamples(owners, rng)])


def resamples(owners: NDArray[Any], rng: np.random.Generator, num_resamples: int = 300) -> Iterator[Places]:
    """The places of bootstrap draws of whole owners with replacement."""
    order = np.argsort(owners, kind="stable")
    starts = np.flatnonzero(np.append(True, owners[order][1:] != owners[order][:-1]))
    sizes = np.diff(starts, append=len(order))
    for _ in range(num_resamples):
        chosen = rng.integers(len(starts), size=len(starts))
        ends = np.cumsum(sizes[chosen])  # one gather: joining an array per owner takes ten times as long for 2,000
        yield order[np.arange(ends[-1]) + np.repeat(starts[chosen] + sizes[chosen] - ends, sizes[chosen])]


def bounds(values: Sequence[float] | Floats, center: float | None = None) -> Interval | None:
    """2.5 % and 97.5 % quantile of bootstrap values; None where fewer than half of them are finite.

    `center` shifts the interval so that the mean of the draws lies there. Distances between sets need it: a draw
    repeats images, which alone makes a set look farther away.
    """
    finite = np.asarray(values)[np.isfinite(values)]
    if len(finite) < len(values) / 2:
        return None
    low, high = np.quantile(finite, LEVELS) + (0.0 if center is None else center - float(finite.mean()))
    return float(low), float(high)
