"""How well readers of a blind study tell generated images from real ones, and how far they agree.

Several readers judge the same images, so intervals over several are drawn over images, as those of `metrics` are over
patients; of one reader each image counts once, and the interval of a share is Wilson's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score, roc_curve

from xray_generator.reference_encoder.bootstrap import (
    MIN_SAMPLES,
    Floats,
    Interval,
    Places,
    interval,
    mean_interval,
    patient_interval,
)
from xray_generator.reference_encoder.metrics import auroc, rate_interval


@dataclass(frozen=True, slots=True)
class Figure:
    """One number."""

    value: float | None  # None: these judgments do not give it
    n: int  # judgments, or images of both readers
    interval: Interval | None = None  # 95 %; None: under ten images have no honest one


@dataclass(frozen=True, slots=True, eq=False)
class Judgments:
    """N judgments of images, by one reader or by several."""

    images: Places  # (N,) which image
    truth: NDArray[np.bool_]  # (N,) whether it is generated
    calls: NDArray[np.bool_]  # (N,) whether the reader says that it is
    confidence: Places  # (N,) 1 to 5

    def take(self, inside: NDArray[np.bool_]) -> Judgments:
        """Some of them, by a mask (N,)."""
        return Judgments(self.images[inside], self.truth[inside], self.calls[inside], self.confidence[inside])

    @property
    def hits(self) -> NDArray[np.bool_]:
        """(N,) whether the reader is right."""
        return np.asarray(self.calls == self.truth)

    @property
    def scores(self) -> Floats:
        """(N,) how sure the reader is that the image is generated: from -5, surely real, to 5, surely generated."""
        return np.where(self.calls, self.confidence, -self.confidence).astype(np.float64)


def join(several: Sequence[Judgments]) -> Judgments:
    """The judgments of several readers together."""
    return Judgments(
        np.concatenate([one.images for one in several]),
        np.concatenate([one.truth for one in several]),
        np.concatenate([one.calls for one in several]),
        np.concatenate([one.confidence for one in several]),
    )


def share(flags: NDArray[np.bool_], images: Places) -> Figure:
    """The share of (N,) judgments of images that have a flag: Wilson 1927 where each image is judged once or all have
    the same flag, else a bootstrap over images."""
    if not len(flags):
        return Figure(None, 0)
    num_images = len(np.unique(images))
    if num_images == len(images):
        ends: Interval | None = rate_interval(flags)
    elif len(set(flags.tolist())) == 1:
        ends = rate_interval(np.full(num_images, flags[0]))
    else:
        ends = mean_interval(flags.astype(np.float64), np.random.default_rng(0), owners=images.astype(np.str_))
    return Figure(float(flags.mean()), len(flags), ends)


def mean(values: Places, images: Places) -> Figure:
    """The mean of (N,) ratings of images, with a bootstrap over images."""
    if not len(values):
        return Figure(None, 0)
    ends = mean_interval(values.astype(np.float64), np.random.default_rng(0), owners=images.astype(np.str_))
    return Figure(float(values.mean()), len(values), ends)


def area(judgments: Judgments) -> Figure:
    """The area under the ROC of the confidence: .5 by chance, 1 where generated images score above all real ones."""
    scores, truth = judgments.scores, judgments.truth.astype(np.float64)
    strata = np.full(len(truth), "")

    def statistic(places: Places) -> float:
        return auroc(scores[places], truth[places], strata[places])

    value = statistic(np.arange(len(truth)))
    if np.isnan(value):  # images of one kind alone
        return Figure(None, len(truth))
    is_enough = len(np.unique(judgments.images)) >= MIN_SAMPLES
    ends = patient_interval(statistic, judgments.images.astype(np.str_), np.random.default_rng(0))
    return Figure(value, len(truth), ends if is_enough else None)


def curve(judgments: Judgments) -> tuple[tuple[float, float], ...]:
    """The ROC of the confidence: (share of real images called generated, share of generated ones), from (0, 0) to (1,
    1); empty where all images are of one kind."""
    if len(set(judgments.truth.tolist())) < 2:
        return ()
    false, true, _ = roc_curve(judgments.truth, judgments.scores, drop_intermediate=False)
    return tuple((float(x), float(y)) for x, y in zip(false, true, strict=True))


def kappa(one: Judgments, other: Judgments) -> Figure:
    """Cohen's kappa of two readers over the images that both judged: 0 by chance, 1 where they always agree.

    None where both give all images one and the same name: then nothing is to be agreed on.
    """
    theirs = dict(zip(other.images.tolist(), other.calls.tolist(), strict=True))
    both = [
        (call, theirs[image])
        for image, call in zip(one.images.tolist(), one.calls.tolist(), strict=True)
        if image in theirs
    ]
    pairs = np.array(both, np.float64).reshape(-1, 2)
    value = _kappa(pairs)
    if np.isnan(value):
        return Figure(None, len(pairs))
    return Figure(value, len(pairs), interval(_kappa, (pairs,), np.random.default_rng(0)))


def _kappa(pairs: Floats) -> float:
    """Of (N, 2) calls, 1 or 0; NaN where it is undefined."""
    if not len(pairs) or pairs.all() or not pairs.any():
        return float("nan")
    return float(cohen_kappa_score(pairs[:, 0], pairs[:, 1]))
