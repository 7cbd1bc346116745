"""Utility: does a classifier trained on synthetic images recognize real ones?

Train on synthetic, test on real (TSTR), compared with training on real images (TRTR) and on both. The classifier is a
logistic regression on principal components of gradient histograms (Dalal & Triggs 2005) and a thumbnail. It must not be
built on the reference encoder, whose features were trained on real labels and would leak them to either side. A network
trained from scratch on some hundred images would vary between seeds by more than the sets differ, and take minutes
instead of seconds. A label that this classifier cannot learn from real images is not measured, and the record says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.feature import hog
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.records import Curve, Measurement
from xray_generator.reference_encoder.bootstrap import Floats, Places, bounds, resamples
from xray_generator.reference_encoder.labels import Targets, labels_of, patients, prompt_targets, strata, targets
from xray_generator.reference_encoder.metrics import auroc, sources_with_both

CLASSIFIER = "logistic regression on HOG and thumbnail"
HOG_SIZE, THUMBNAIL_SIZE, NUM_COMPONENTS = 64, 16, 64
MIN_CASES = 10  # images with a label, and as many without, in each of the three sets
CURVE_SHARES = (1 / 8, 1 / 4, 1 / 2, 1)
SYNTHETIC, REAL, BOTH, SHUFFLED = range(4)  # the arms: what a classifier learns from
MEASURED = {SYNTHETIC: "utility_synthetic", BOTH: "utility_both", SHUFFLED: "utility_shuffled"}

Features = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Examples:
    """Features of images, with their labels."""

    features: Features  # (N, D)
    known: Targets  # (N, L) 1, 0 or NaN

    def __add__(self, other: Examples) -> Examples:
        return Examples(np.vstack([self.features, other.features]), np.vstack([self.known, other.known]))

    def take(self, places: Places | slice) -> Examples:
        """Some of them."""
        return Examples(self.features[places], self.known[places])


def describe(images: NDArray[np.float32]) -> Features:
    """(N, D): histograms of 8 gradient directions in 8x8 cells at 64 pixels, and 16x16 pixels, of images in [0, 1]."""
    features = np.empty((len(images), 8 * (HOG_SIZE // 8) ** 2 + THUMBNAIL_SIZE**2), np.float32)
    for place, image in enumerate(images):
        small = cv2.resize(image, (HOG_SIZE, HOG_SIZE), interpolation=cv2.INTER_AREA)
        thumbnail = cv2.resize(image, (THUMBNAIL_SIZE, THUMBNAIL_SIZE), interpolation=cv2.INTER_AREA)
        cells = hog(small, orientations=8, pixels_per_cell=(8, 8), cells_per_block=(1, 1))
        features[place] = np.concatenate([cells, thumbnail.ravel()])
    return features


def measure_utility(
    synthetic: ImageSet, real: ImageSet, test: ImageSet, rng: np.random.Generator, num_seeds: int = 8
) -> tuple[list[Measurement], Curve | None]:
    """AUROC on real test images after training on synthetic, real and both, by label and overall; and a curve.

    Each seed trains on another draw, with replacement, of as many images as the smaller training set has. A draw of
    the interval takes the classifiers of one seed and whole test patients, and so includes the variation of both.

    Args:
        synthetic: images with the rows whose prompts were used.
        real: images of the `train` split with their rows.
        test: images of other patients, never trained on.
        rng: for subsets and bootstrap.
        num_seeds: how often each classifier is trained.

    Returns:
        Measurements, and the learning curve by number of synthetic images (None where no label is measurable).
    """
    labels = [label for label in labels_of(test.rows) if _is_frequent(label, synthetic, real, test)]
    if not labels:
        reason = f"no label is in {MIN_CASES} images and absent in as many of each of the three sets"
        return [Measurement("utility_synthetic", None, len(synthetic), split="test", reason=reason)], None
    ours = Examples(describe(synthetic.images), prompt_targets(synthetic.rows, labels))
    theirs = Examples(describe(real.images), targets(real.rows, labels))
    classifier = _Test(describe(test.images), targets(test.rows, labels), strata(test.rows), patients(test.rows))
    count = min(len(ours.known), len(theirs.known))

    def draw(part: Examples) -> Examples:
        return part.take(rng.integers(len(part.known), size=count))

    draws, scores = [(draw(ours), draw(theirs)) for _ in range(num_seeds)], []
    for drawn, real_drawn in draws:
        shuffled = replace(drawn, known=drawn.known[rng.permutation(count)])
        scores.append([_scores(part, classifier) for part in (drawn, real_drawn, drawn + real_drawn, shuffled)])
    spread = [
        classifier.aurocs([scores[rng.integers(num_seeds)]], places) for places in resamples(classifier.owners, rng)
    ]
    values, spreads = classifier.aurocs(scores, slice(None)), np.array(spread)
    learned = [i for i in range(len(labels)) if (ends := bounds(spreads[:, REAL, i])) and ends[0] > 0.5]
    if not learned:
        return [_unlearned(label, count) for label in ("", *labels)], None
    found = _measurements(values, spreads, learned, "", count, classifier)
    for i, label in enumerate(labels):
        found += (
            _measurements(values, spreads, [i], label, count, classifier)
            if i in learned
            else [_unlearned(label, count)]
        )
    return found, _curve(draws, values[:, learned].mean(axis=-1), classifier, learned)


@dataclass(frozen=True, slots=True)
class _Test:
    features: Features
    truth: Targets  # (N, L)
    sources: NDArray[np.str_]
    owners: NDArray[np.str_]

    def aurocs(
        self, scores: Sequence[Sequence[NDArray[np.float64]]], places: NDArray[np.intp] | slice
    ) -> NDArray[np.float64]:
        """AUROC (A, L) of each arm and label within sources, averaged over seeds; scores (N, L) by seed and arm."""
        truth, sources = self.truth[places], self.sources[places]
        values = [
            [[auroc(arm[places, i], truth[:, i], sources) for i in range(truth.shape[1])] for arm in seed]
            for seed in scores
        ]
        return np.asarray(np.mean(values, axis=0), np.float64)


def _measurements(
    values: Floats, draws: Floats, labels: Sequence[int], condition: str, count: int, test: _Test
) -> list[Measurement]:
    """TSTR, training on both, the control and the ratio of TSTR to TRTR, averaged over some labels.

    From the AUROC (A, L) of each arm and label, and (B, A, L) of each bootstrap draw.
    """
    values, draws = values[:, labels].mean(axis=-1), draws[:, :, labels].mean(axis=-1)
    fixed: dict[str, Any] = {"n": count, "condition": condition, "split": "test", "extractor": CLASSIFIER}
    fixed["real_n"] = int((~np.isnan(test.truth[:, labels])).any(axis=1).sum())
    real, ratios = float(values[REAL]), draws[:, SYNTHETIC] / draws[:, REAL]
    return [
        *(
            Measurement(
                name,
                float(values[arm]),
                interval=bounds(draws[:, arm]),
                real=None if arm == SHUFFLED else real,
                **fixed,
            )
            for arm, name in MEASURED.items()
        ),
        Measurement("utility_ratio", float(values[SYNTHETIC]) / real, interval=bounds(ratios), **fixed),
    ]


def _is_frequent(label: str, synthetic: ImageSet, *real: ImageSet) -> bool:
    sets = [(prompt_targets(synthetic.rows, [label]), strata(synthetic.rows))]
    sets += [(targets(part.rows, [label]), strata(part.rows)) for part in real]
    return all(sources_with_both(known[:, 0], sources, MIN_CASES) for known, sources in sets)


def _scores(examples: Examples, test: _Test) -> NDArray[np.float64]:
    """(N, L) log-odds of each label for the test images; 0 where the examples do not teach it."""
    components = min(NUM_COMPONENTS, len(examples.features) - 1)
    reduce = make_pipeline(StandardScaler(), PCA(components, whiten=True, svd_solver="full")).fit(examples.features)
    inputs, tests = reduce.transform(examples.features), reduce.transform(test.features)
    scores = np.zeros(test.truth.shape)
    for i, truth in enumerate(examples.known.T):
        is_known = ~np.isnan(truth)
        if len(np.unique(truth[is_known])) == 2:
            model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=500)
            scores[:, i] = model.fit(inputs[is_known], truth[is_known]).decision_function(tests)
    return scores


def _unlearned(condition: str, count: int) -> Measurement:
    reason = "not measurable: the classifier does not learn it from real images either"
    return Measurement(
        "utility_synthetic", None, count, condition=condition, split="test", extractor=CLASSIFIER, reason=reason
    )


def _curve(draws: Sequence[tuple[Examples, Examples]], ends: Floats, test: _Test, labels: Sequence[int]) -> Curve:
    """AUROC against the number of generated images; `ends` (A,) is that of each arm with all of them."""
    total = len(draws[0][0].known)
    counts = sorted({max(2, round(share * total)) for share in CURVE_SHARES})
    values = []
    for count in counts[:-1]:
        parts = [(drawn.take(slice(count)), real_drawn) for drawn, real_drawn in draws]
        scores = [[_scores(part, test), _scores(part + real_drawn, test)] for part, real_drawn in parts]
        values.append(test.aurocs(scores, slice(None))[:, labels].mean(axis=-1))
    values.append(ends[[SYNTHETIC, BOTH]])
    alone, both = np.array(values).T
    return Curve(
        "Learning from generated images",
        "number of generated images",
        "AUROC on real test images",
        tuple(map(float, counts)),
        {"generated alone": tuple(alone), "both": tuple(both), "real alone": (float(ends[REAL]),) * len(counts)},
    )
