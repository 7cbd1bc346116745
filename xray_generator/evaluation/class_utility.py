"""Do generated images help where real ones are few? Accuracy over classes against the number of real images.

A classifier is trained on some real images of each class, on these and all generated ones, and on the generated ones
alone; it is always tested on real images of unseen patients. As in `utility` it is a logistic regression, so it has
seen no other real labels. A cell has no upright, so its features are radiomics and the Fourier magnitudes of the gray
levels on rings around the center, which do not change when the image is rotated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xray_generator.data.rows import Row, class_names
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.radiomics import NAMES, radiomics
from xray_generator.evaluation.records import Curve, Measurement
from xray_generator.evaluation.utility import Features
from xray_generator.reference_encoder.bootstrap import bounds, resamples
from xray_generator.reference_encoder.labels import class_places, patients
from xray_generator.types import StudioError

GAIN, SYNTHETIC = "few_gain", "few_synthetic"
CLASSIFIER = "logistic regression on radiomics and rings"
SIDE, NUM_RINGS, NUM_ANGLES, NUM_WAVES = 64, 24, 64, 8
COUNTS = (5, 10, 20, 40, 80)  # real images of each class; finally all
MIN_CASES = 10  # images of a class in each of the three sets
NO_CLASSES = f"This needs two classes with {MIN_CASES} images each: generated, real for training, and real for testing."

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Examples:
    """Features of images, with their classes."""

    features: Features  # (N, D)
    truth: Places  # (N,)

    def __add__(self, other: Examples) -> Examples:
        return Examples(np.vstack([self.features, other.features]), np.concatenate([self.truth, other.truth]))

    @property
    def most(self) -> int:
        """Images of the most frequent class."""
        return int(np.bincount(self.truth).max())

    def few(self, count: int, rng: np.random.Generator) -> Examples:
        """At most `count` of each class, at random."""
        order = rng.permutation(len(self.truth))
        chosen = np.concatenate([order[self.truth[order] == place][:count] for place in np.unique(self.truth)])
        return Examples(self.features[chosen], self.truth[chosen])


def describe(images: NDArray[np.float32]) -> Features:
    """Features (N, D): radiomics, and Fourier magnitudes 0 to 7 on 24 rings at 64 pixels, of (N, S, S) in [0, 1]."""
    found = np.empty((len(images), NUM_RINGS * NUM_WAVES + len(NAMES)), np.float32)
    for place, image in enumerate(images):
        small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        middle = (SIDE - 1) / 2
        rings = cv2.warpPolar(small, (NUM_RINGS, NUM_ANGLES), (middle, middle), SIDE / 2, cv2.INTER_LINEAR)
        waves = np.abs(np.fft.rfft(rings, axis=0))[:NUM_WAVES] / NUM_ANGLES
        found[place] = np.concatenate([waves.ravel(), radiomics(image)])
    return found


def measure_few(
    synthetic: ImageSet, real: ImageSet, test: ImageSet, rng: np.random.Generator, num_seeds: int = 5
) -> tuple[list[Measurement], Curve]:
    """Gain in balanced accuracy at each number of real images, generated images alone, and the curve of all three.

    A draw of an interval takes the real images of one seed and whole test patients, and so includes both variations.

    Args:
        synthetic: images with the rows whose classes were used.
        real: images of the `train` split with their rows.
        test: images of other patients.
        rng: for the few and the bootstrap.
        num_seeds: how often the few real images are drawn.

    Raises:
        StudioError: fewer than two classes have enough images in all three sets.
    """
    classes = _common(synthetic.rows, real.rows, test.rows)
    ours, theirs, unseen = (_examples(images, classes) for images in (synthetic, real, test))
    owners = patients(
        [row for row, place in zip(test.rows, class_places(test.rows, classes), strict=True) if place >= 0]
    )
    classifier = _Test(unseen, list(resamples(owners, rng)))
    alone = classifier.predict(ours)
    counts = [*(count for count in COUNTS if count < theirs.most), theirs.most]
    arms = [_arms(ours, theirs, count, classifier, rng, num_seeds) for count in counts]
    draws = rng.integers(num_seeds, size=len(classifier.draws))
    common: dict[str, Any] = {"n": len(ours.truth), "real_n": len(unseen.truth), "split": "test"}
    found = [
        _gain(classifier, *pair, draws, common | {"settings": {"real_images_a_class": count, "seeds": num_seeds}})
        for count, pair in zip(counts, arms, strict=True)
    ]
    ends = bounds([classifier.accuracy(alone, places) for places in classifier.draws])
    best = classifier.mean(arms[-1][0])
    found.append(
        Measurement(SYNTHETIC, classifier.accuracy(alone), interval=ends, real=best, extractor=CLASSIFIER, **common)
    )
    few, both = (tuple(classifier.mean(pair[arm]) for pair in arms) for arm in (0, 1))
    return found, Curve(
        f"Learning from few real images, with and without {len(ours.truth):,} generated ones",
        "real training images of each class, at most",
        f"balanced accuracy on {len(unseen.truth):,} real test images",
        tuple(map(float, counts)),
        {"real alone": few, "both": both, "generated alone": (classifier.accuracy(alone),) * len(counts)},
    )


@dataclass(frozen=True, slots=True)
class _Test:
    examples: Examples
    draws: list[Places]  # bootstrap draws of whole patients

    def predict(self, lesson: Examples) -> Places:
        """Predicted classes (N,) of the test images after training on `lesson`."""
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=500))
        return np.asarray(model.fit(lesson.features, lesson.truth).predict(self.examples.features))

    def accuracy(self, called: Places, places: Places | slice = slice(None)) -> float:
        """Balanced: the mean over classes of the share of right answers."""
        truth, hits = self.examples.truth[places], (called == self.examples.truth)[places]
        totals = np.bincount(truth)
        return float((np.bincount(truth, hits)[totals > 0] / totals[totals > 0]).mean())

    def mean(self, seeds: Sequence[Places]) -> float:
        """Over seeds."""
        return float(np.mean([self.accuracy(called) for called in seeds]))


def _arms(
    ours: Examples, theirs: Examples, count: int, classifier: _Test, rng: np.random.Generator, num_seeds: int
) -> tuple[list[Places], list[Places]]:
    """Predictions of each seed after training on few real images, and on these and the generated ones."""
    if count >= theirs.most:  # all of them: every draw is the same
        return [classifier.predict(theirs)] * num_seeds, [classifier.predict(theirs + ours)] * num_seeds
    lessons = [theirs.few(count, rng) for _ in range(num_seeds)]
    return [classifier.predict(lesson) for lesson in lessons], [classifier.predict(lesson + ours) for lesson in lessons]


def _gain(
    classifier: _Test, few: list[Places], both: list[Places], draws: Places, common: dict[str, Any]
) -> Measurement:
    spread = [
        classifier.accuracy(both[seed], places) - classifier.accuracy(few[seed], places)
        for seed, places in zip(draws, classifier.draws, strict=True)
    ]
    yardstick = classifier.mean(few)
    return Measurement(
        GAIN, classifier.mean(both) - yardstick, interval=bounds(spread), real=yardstick, extractor=CLASSIFIER, **common
    )


def _common(*sets: Sequence[Row]) -> tuple[str, ...]:
    """The classes with enough images in each set, within sources of two classes or more."""
    names = tuple(sorted(set.intersection(*(set(class_names(rows)) for rows in sets))))
    places = [class_places(rows, names) for rows in sets]
    classes = tuple(name for i, name in enumerate(names) if all((part == i).sum() >= MIN_CASES for part in places))
    if len(classes) < 2:
        raise StudioError(NO_CLASSES)
    return classes


def _examples(images: ImageSet, classes: Sequence[str]) -> Examples:
    truth = class_places(images.rows, classes)
    return Examples(describe(images.images[truth >= 0]), truth[truth >= 0])
