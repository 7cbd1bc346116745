"""How well scores tell films with a label from films without it: within one source, with bootstrap intervals.

Sources differ in their films and in how often a label is there, so a score that knows the hospital alone would look
good. Every number here compares pairs of films of the same source, and weighs source s by n1 n0 / (n1 + n0)
(van Elteren 1960), with n1 films that have the label and n0 that do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
NUM_CANDIDATES, NUM_RESAMPLES = 200, 300


def auroc(scores: Floats, truth: Floats, strata: NDArray[np.str_]) -> float:
    """Chance that a film with the label scores above one without (Mann & Whitney 1947); a tie counts half.

    Args:
        scores: (N,) any scale.
        truth: (N,) 1, 0, or NaN where unknown: left out.
        strata: (N,) source of each film.

    Returns:
        0 to 1, .5 by chance; NaN where no source holds both kinds.
    """
    return _mean_of(truth, strata, lambda inside, has: _mann_whitney(scores[inside][has], scores[inside][~has]))


def balanced_accuracy(scores: Floats, truth: Floats, strata: NDArray[np.str_], threshold: float) -> float:
    """Mean of sensitivity and specificity of `scores >= threshold`, which does not depend on how common a label is."""
    called = scores >= threshold
    return _mean_of(
        truth, strata, lambda inside, has: float(called[inside][has].mean() - called[inside][~has].mean() + 1) / 2
    )


def best_threshold(scores: Floats, truth: Floats, strata: NDArray[np.str_]) -> float:
    """The threshold of greatest balanced accuracy (Youden 1950), the middle one where several are; .5 where none is."""
    known = scores[~np.isnan(truth)]
    candidates = np.unique(np.quantile(known, np.linspace(0, 1, NUM_CANDIDATES))) if len(known) else np.array([0.5])
    values = np.array([balanced_accuracy(scores, truth, strata, float(t)) for t in candidates])
    best = candidates[values == values.max()]  # empty where all are NaN
    return float(best[len(best) // 2]) if len(best) else 0.5


def confusion(scores: Floats, truth: Floats, threshold: float) -> dict[str, int]:
    """Counts of films by (has the label, is called so)."""
    called, has, lacks = scores >= threshold, truth == 1, truth == 0
    cells = {
        "true_positive": called & has,
        "false_negative": ~called & has,
        "false_positive": called & lacks,
        "true_negative": ~called & lacks,
    }
    return {name: int(cell.sum()) for name, cell in cells.items()}


def interval(
    statistic: Callable[[NDArray[np.intp]], float], groups: NDArray[np.str_], rng: np.random.Generator
) -> tuple[float, float] | None:
    """95 % percentile interval of a statistic of places, over draws of whole groups (patients) with replacement."""
    return bounds([statistic(places) for places in resamples(groups, rng)])


def resamples(groups: NDArray[np.str_], rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """Places of `NUM_RESAMPLES` bootstrap draws of whole groups with replacement."""
    names, owner = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(owner == i) for i in range(len(names))]
    for draw in rng.integers(len(names), size=(NUM_RESAMPLES, len(names))):
        yield np.concatenate([members[i] for i in draw])


def bounds(values: Sequence[float] | Floats) -> tuple[float, float] | None:
    """2.5 % and 97.5 % quantile of bootstrap values; None where fewer than half of them are numbers."""
    finite = np.asarray(values)[np.isfinite(values)]
    if len(finite) < len(values) / 2:
        return None
    low, high = np.quantile(finite, (0.025, 0.975))
    return float(low), float(high)


def sources_with_both(truth: Floats, strata: NDArray[np.str_], min_cases: int = 1) -> tuple[str, ...]:
    """The sources that hold at least `min_cases` films with the label and as many without."""
    return tuple(
        source
        for source in sorted(set(strata.tolist()))
        if min((truth[strata == source] == 1).sum(), (truth[strata == source] == 0).sum()) >= min_cases
    )


def _mean_of(
    truth: Floats, strata: NDArray[np.str_], value: Callable[[NDArray[np.bool_], NDArray[np.bool_]], float]
) -> float:
    pairs = [(weight, value(inside, has)) for weight, inside, has in _parts(truth, strata)]
    total = sum(weight for weight, _ in pairs)
    return float(sum(weight * found for weight, found in pairs) / total) if total else float("nan")


def _parts(truth: Floats, strata: NDArray[np.str_]) -> Iterator[tuple[float, NDArray[np.bool_], NDArray[np.bool_]]]:
    """(weight, which films, which of those have the label) of each source that holds both kinds."""
    for source in sorted(set(strata.tolist())):  # faster than numpy's unique, and asked for at every draw
        inside = (strata == source) & ~np.isnan(truth)
        has = truth[inside] == 1
        if has.any() and not has.all():
            yield has.sum() * (~has).sum() / len(has), inside, has


def _mann_whitney(positives: Floats, negatives: Floats) -> float:
    ordered = np.sort(negatives)
    below, ties_too = (np.searchsorted(ordered, positives, side) for side in ("left", "right"))
    return float(below.mean() + ties_too.mean()) / (2 * len(ordered))
