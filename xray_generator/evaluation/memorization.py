"""Memorization: are generated images copies of training images? Unseen real images, which are none, set the threshold.

Images are compared in two spaces: pixels (`pixel_match` finds mirrored, shifted, cropped and re-exposed copies) and
features. In both, the nearness of an image to its nearest training image is scaled by that of unseen real images. An
image that is nearer in either space than all but 3 % of those is flagged. Images with classes are also searched in
quarter turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from xray_generator.evaluation.features import Extractor
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.pixel_match import Match, best_matches, thumbnails
from xray_generator.evaluation.records import Measurement
from xray_generator.evaluation.training_set import TrainingSet
from xray_generator.reference_encoder.bootstrap import interval, mean_interval
from xray_generator.reference_encoder.metrics import rate_interval
from xray_generator.types import StudioError

Floats = NDArray[np.float64]

FALSE_ALARMS = 0.05  # at most this share of unseen real images is flagged
AIM = 0.03
MIN_HELD_OUT = round(1 / FALSE_ALARMS) - 1  # unseen images that can promise it
NUM_CLOSEST = 24  # pairs kept in the record
RANDOM_TRAINING = 200  # images that represent the training set


@dataclass(frozen=True, slots=True, eq=False)
class Nearness:
    """How near each of M images is to its nearest training image, in both spaces."""

    match: Match
    distance: Floats  # (M,) Euclidean, in features scaled to unit deviation over the training set
    place: NDArray[np.intp]  # (M,) of the nearest in features
    ratio: Floats  # (M,) distance over the mean distance to random training images

    def take(self, chosen: NDArray[np.intp]) -> Nearness:
        """Some of the images."""
        match = Match(self.match.similarity[chosen], self.match.place[chosen], self.match.flipped[chosen])
        return Nearness(match, self.distance[chosen], self.place[chosen], self.ratio[chosen])


@dataclass(frozen=True, slots=True)
class Threshold:
    """An image is a copy if it is `strictness` spreads above the median of unseen images, in either space."""

    median: tuple[float, float]  # of similarity, of minus distance
    spread: tuple[float, float]  # from there to the 90th percentile
    strictness: float

    def scores(self, near: Nearness) -> Floats:
        """(M,) the larger of the two nearnesses, in spreads above the median."""
        spaces = (near.match.similarity, -near.distance)
        scaled = [(space - m) / s for space, m, s in zip(spaces, self.median, self.spread, strict=True)]
        return np.asarray(np.maximum(*scaled))

    def is_copy(self, near: Nearness) -> NDArray[np.bool_]:
        """(M,) which images are flagged."""
        return np.asarray(self.scores(near) > self.strictness)


def nearest(images: NDArray[np.float32], training: TrainingSet, extractor: Extractor) -> Nearness:
    """The nearest training image of each image (M, H, W) in both spaces, over all `training.turns`."""
    views = (np.ascontiguousarray(np.rot90(images, turn, axes=(1, 2))) for turn in range(training.turns))
    return reduce(_nearer, (_nearest(view, training, extractor) for view in views))


def _nearer(one: Nearness, other: Nearness) -> Nearness:
    """The better of two views of the same images, in each space."""
    fits, close = one.match.similarity >= other.match.similarity, one.distance <= other.distance
    return Nearness(
        Match(
            np.where(fits, one.match.similarity, other.match.similarity),
            np.where(fits, one.match.place, other.match.place),
            np.where(fits, one.match.flipped, other.match.flipped),
        ),
        np.where(close, one.distance, other.distance),
        np.where(close, one.place, other.place),
        np.where(close, one.ratio, other.ratio),
    )


def _nearest(images: NDArray[np.float32], training: TrainingSet, extractor: Extractor) -> Nearness:
    center, scale = training.features.mean(axis=0), training.features.std(axis=0)
    scale = np.where(scale > 0, scale, 1)
    known, queries = (training.features - center) / scale, (extractor(images) - center) / scale
    distance, place = (column[:, 0] for column in NearestNeighbors(n_neighbors=1).fit(known).kneighbors(queries))
    some = known[np.random.default_rng(0).permutation(len(known))[:RANDOM_TRAINING]]
    typical = np.sqrt(np.maximum((queries**2).sum(1)[:, None] - 2 * queries @ some.T + (some**2).sum(1), 0)).mean(
        axis=1
    )
    return Nearness(best_matches(thumbnails(images), training.thumbnails), distance, place, distance / typical)


def calibrate(held_out: Nearness) -> Threshold:
    """The threshold that a new real image exceeds with probability k / (n + 1): the k-th highest of n scores.

    k = max(1, ⌊.03 (n + 1)⌋): 3 % is the aim and 5 % the promise, so that chance does not break it.

    Raises:
        StudioError: fewer than 19 unseen images, which cannot promise 5 %.
    """
    if (count := len(held_out.distance)) < MIN_HELD_OUT:
        raise StudioError(f"The memorization audit needs {MIN_HELD_OUT} unseen real images or more, not {count}.")
    spaces = (held_out.match.similarity, -held_out.distance)
    middle, upper = (tuple(float(np.quantile(space, q)) for space in spaces) for q in (0.5, 0.9))
    spread = (max(upper[0] - middle[0], 1e-6), max(upper[1] - middle[1], 1e-6))
    loose = Threshold((middle[0], middle[1]), spread, 0.0)
    highest = np.sort(loose.scores(held_out))[::-1]
    return Threshold(loose.median, spread, float(highest[max(1, int(AIM * (count + 1))) - 1]))


def authentic(near: Nearness, training: TrainingSet) -> Floats:
    """1 if an image is farther from its nearest training image than that one is from any other: Alaa et al. 2022.

    A_j = 1[d(g_j, r_i*) > d(r_i*, r_l)], with r_i* the nearest to g_j and r_l the nearest other to r_i*.
    """
    scale = training.features.std(axis=0)
    known = training.features / np.where(scale > 0, scale, 1)
    distances, _ = NearestNeighbors(n_neighbors=2).fit(known).kneighbors(known[near.place])
    return np.asarray(near.distance > distances[:, 1], np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Audit:
    """What the audit of one set of M images found."""

    measurements: tuple[Measurement, ...]  # copy rate, authenticity, distance
    near: Nearness
    threshold: Threshold
    held_out: Nearness  # of the unseen real images

    @property
    def real_flags(self) -> NDArray[np.bool_]:
        """Which of the unseen real images are flagged as copies."""
        return self.threshold.is_copy(self.held_out)

    @property
    def flags(self) -> NDArray[np.bool_]:
        """(M,) which images are flagged as copies."""
        return self.threshold.is_copy(self.near)

    @property
    def order(self) -> NDArray[np.intp]:
        """(M,) the places of the images, the nearest to a training image first."""
        return np.argsort(-self.threshold.scores(self.near), kind="stable")


def audit(
    generated: ImageSet,
    held_out: ImageSet,
    training: TrainingSet,
    extractor: Extractor,
    rng: np.random.Generator,
    split: str = "",
) -> Audit:
    """Copy rate, authenticity and nearness of generated images, each compared with unseen real ones.

    The real copy rate is 3 % or just under by construction; generated images should not exceed it.

    Raises:
        StudioError: fewer than 19 unseen real images.
    """
    ours, theirs = (nearest(images.images, training, extractor) for images in (generated, held_out))
    threshold = calibrate(theirs)
    flags, real_flags = threshold.is_copy(ours), threshold.is_copy(theirs)
    is_authentic = authentic(ours, training)
    common: dict[str, Any] = {
        "n": len(generated),
        "real_n": len(held_out),
        "split": split,
        "settings": {"training_images": len(training.rows)},
    }
    return Audit(
        (
            Measurement(
                "copy_rate",
                float(flags.mean()),
                interval=rate_interval(flags),
                real=float(real_flags.mean()),
                extractor=f"pixels and {extractor.name}",
                **common,
            ),
            Measurement(
                "authenticity",
                float(is_authentic.mean()),
                interval=mean_interval(is_authentic, rng),
                real=float(authentic(theirs, training).mean()),
                extractor=extractor.name,
                **common,
            ),
            Measurement(
                "nearest_distance_ratio",
                float(np.median(ours.ratio)),
                interval=interval(lambda ratio: float(np.median(ratio)), (ours.ratio,), rng, 1000),
                real=float(np.median(theirs.ratio)),
                extractor=extractor.name,
                **common,
            ),
        ),
        ours,
        threshold,
        theirs,
    )


def closest(audit: Audit, generated: ImageSet, training: TrainingSet) -> tuple[dict[str, Any], ...]:
    """The closest pairs of generated and training images; training files as folder/name."""
    near, scores, flags = audit.near, audit.threshold.scores(audit.near), audit.flags

    def file(place: int) -> str:
        path = training.rows[place].path
        return f"{path.parent.name}/{path.name}"

    return tuple(
        {
            "image": generated.names[i] if generated.names else str(i),
            "flagged": bool(flags[i]),
            "training_by_pixels": file(near.match.place[i]),
            "similarity": round(float(near.match.similarity[i]), 4),
            "flipped": bool(near.match.flipped[i]),
            "training_by_features": file(near.place[i]),
            "distance": round(float(near.distance[i]), 4),
            "score": round(float(scores[i]), 3),
            "threshold": round(audit.threshold.strictness, 3),
        }
        for i in audit.order[:NUM_CLOSEST]
    )
