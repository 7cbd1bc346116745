"""Classifier two-sample test (C2ST, Lopez-Paz & Oquab 2017): can a classifier tell generated from real images?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xray_generator.evaluation.features import Extractor
from xray_generator.evaluation.image_sets import ImageSet, groups, matched_splits
from xray_generator.evaluation.records import Measurement
from xray_generator.reference_encoder.bootstrap import Floats, Interval, patient_interval
from xray_generator.reference_encoder.metrics import auroc
from xray_generator.types import StudioError

NUM_FOLDS = 5
MIN_IMAGES = 20  # a side
INVERSE_PENALTY = 0.1  # C of scikit-learn: there may be more features than images


def out_of_fold_scores(
    features: Floats, truth: Floats, owners: NDArray[np.str_], rng: np.random.Generator
) -> tuple[Floats, NDArray[np.str_]]:
    """Scores (N,) of a logistic regression that was not trained on the image or its patient, and the fold of each.

    Raises:
        StudioError: a kind of images with fewer than 20 images or 5 patients.
    """
    for kind in (0, 1):
        size, patients = (truth == kind).sum(), len(np.unique(owners[truth == kind]))
        if size < MIN_IMAGES or patients < NUM_FOLDS:
            raise StudioError(
                f"A classifier needs {MIN_IMAGES} images of {NUM_FOLDS} patients or more on each side, and in each half"
                f" of the real ones, not {size} of {patients}."
            )
    scores, folds = np.empty(len(truth)), np.empty(len(truth), np.intp)
    cv = StratifiedGroupKFold(NUM_FOLDS, shuffle=True, random_state=int(rng.integers(2**31)))
    for fold, (train, test) in enumerate(cv.split(features, truth, owners)):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=INVERSE_PENALTY, max_iter=1000))
        scores[test] = model.fit(features[train], truth[train]).decision_function(features[test])
        folds[test] = fold
    return scores, folds.astype(np.str_)


def compare(
    generated: ImageSet,
    real: ImageSet,
    extractor: Extractor,
    rng: np.random.Generator,
    condition: str = "",
    split: str = "",
) -> Measurement:
    """Cross-validated AUROC of generated against equally many real images, compared within each fold.

    For comparison, the same for as many other real images, near 0.5. Both rise with the number of images.
    """
    (split_,) = matched_splits(generated, real, rng, 1)
    common: dict[str, Any] = {
        "n": split_.size,
        "real_n": split_.size,
        "condition": condition,
        "split": split,
        "extractor": extractor.name,
    }
    x, y, owners = extractor(generated.images), extractor(real.images), groups(real)
    near, other = split_.real, split_.other
    drawn = np.array([f"drawn {i}" for i in split_.generated], np.str_)
    try:
        yardstick, _ = _auroc(y[other], y[near], owners[other], owners[near], rng)
        value, ends = _auroc(x[split_.generated], y[near], drawn, owners[near], rng)
    except StudioError as error:
        return Measurement("detectability", None, reason=str(error), **common)
    return Measurement("detectability", value, interval=ends, real=yardstick, **common)


def _auroc(
    x: Floats, y: Floats, x_owners: NDArray[np.str_], y_owners: NDArray[np.str_], rng: np.random.Generator
) -> tuple[float, Interval | None]:
    features, owners = np.concatenate([x, y]), np.concatenate([x_owners, y_owners])
    truth = np.repeat([1.0, 0.0], [len(x), len(y)])
    scores, folds = out_of_fold_scores(features, truth, owners, rng)
    ends = patient_interval(lambda places: auroc(scores[places], truth[places], folds[places]), owners, rng)
    return auroc(scores, truth, folds), ends
