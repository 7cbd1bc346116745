"""How well a classifier does: AUROC and balanced accuracy of its labels, accuracy over its classes.

Sources differ in their images and in how common a label is, so a score that merely knows the hospital would look good.
AUROC and balanced accuracy therefore compare images of the same source only, and weigh source s by n1 n0 / (n1 + n0)
(van Elteren 1960), with n1 images that have the label and n0 that do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from xray_generator.data.rows import Row
from xray_generator.reference_encoder.bootstrap import Floats, Interval, Places, mean_interval
from xray_generator.reference_encoder.labels import class_places, patients
from xray_generator.reference_encoder.manifest import ClassQuality

NUM_CANDIDATES = 200  # thresholds that are tried


def auroc(scores: Floats, truth: Floats, strata: NDArray[np.str_]) -> float:
    """Chance that an image with the label scores above one without (Mann & Whitney 1947); a tie counts half.

    Args:
        scores: (N,) any scale.
        truth: (N,) 1, 0, or NaN where unknown: left out.
        strata: (N,) source of each image.

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
    """Confusion counts of `scores >= threshold` over the images whose label is known."""
    known = ~np.isnan(truth)
    counts = np.bincount(2 * (truth[known] == 1) + (scores[known] >= threshold), minlength=4).tolist()
    return dict(zip(("true_positive", "false_negative", "false_positive", "true_negative"), counts[::-1], strict=True))


def sources_with_both(truth: Floats, strata: NDArray[np.str_], min_cases: int = 1) -> tuple[str, ...]:
    """The sources that hold at least `min_cases` images with the label and as many without."""
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
    """(weight, which images, which of those have the label) of each source that holds both kinds."""
    for source in sorted(set(strata.tolist())):  # faster than numpy's unique, and called at every draw
        inside = (strata == source) & ~np.isnan(truth)
        has = truth[inside] == 1
        if has.any() and not has.all():
            yield has.sum() * (~has).sum() / len(has), inside, has


def _mann_whitney(positives: Floats, negatives: Floats) -> float:
    ordered = np.sort(negatives)
    below, ties_too = (np.searchsorted(ordered, positives, side) for side in ("left", "right"))
    return float(below.mean() + ties_too.mean()) / (2 * len(ordered))


@dataclass(frozen=True, slots=True)
class ClassPredictions:
    """True and predicted classes of N images of known class."""

    truth: Places  # (N,) places in the classifier's classes
    predicted: Places  # (N,) likewise
    owners: NDArray[np.str_]  # (N,) patients; of generated images the images themselves

    @classmethod
    def of(
        cls, rows: Sequence[Row], classes: Sequence[str], probabilities: NDArray[np.float64], owners: NDArray[np.str_]
    ) -> ClassPredictions:
        """The likeliest class by probabilities (N, C); images of another class, or of none, are left out."""
        truth = class_places(rows, classes)
        inside = truth >= 0
        return cls(truth[inside], probabilities.argmax(axis=1)[inside], owners[inside])

    def of_class(self, place: int) -> ClassPredictions:
        """Those of one class."""
        inside = self.truth == place
        return ClassPredictions(self.truth[inside], self.predicted[inside], self.owners[inside])

    @property
    def accuracy(self) -> float | None:
        """Share of right answers; None without an image."""
        return float((self.truth == self.predicted).mean()) if len(self.truth) else None

    def interval(self, rng: np.random.Generator) -> Interval | None:
        """95 % interval of the accuracy, by a bootstrap over owners.

        Where all answers are right, or none is, a bootstrap would claim certainty: Wilson 1927 over the owners instead.
        """
        hits = self.truth == self.predicted
        if len(set(hits.tolist())) == 1:
            return rate_interval(np.full(len(set(self.owners.tolist())), hits[0]))
        return mean_interval(hits.astype(np.float64), rng, owners=self.owners)


def class_quality(
    rows: Sequence[Row], classes: Sequence[str], probabilities: NDArray[np.float64]
) -> ClassQuality | None:
    """Accuracy of a classifier on real images it was not trained on; None where none has one of its classes."""
    if not classes or not rows:
        return None
    predictions = ClassPredictions.of(rows, classes, probabilities, patients(rows))
    if (accuracy := predictions.accuracy) is None:
        return None
    recalls = {name: predictions.of_class(i).accuracy for i, name in enumerate(classes)}
    return ClassQuality(
        len(predictions.truth),
        accuracy,
        predictions.interval(np.random.default_rng(0)),
        {name: value for name, value in recalls.items() if value is not None},
    )


def rate_interval(flags: NDArray[np.bool_]) -> Interval:
    """95 % interval of a share by Wilson 1927: a bootstrap of no case at all would claim certainty."""
    ends = binomtest(int(flags.sum()), len(flags)).proportion_ci(method="wilson")
    return float(ends.low), float(ends.high)
