"""Class fidelity: is an image, to a classifier trained on real images alone, most likely of the class asked for?"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix

from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.records import Measurement
from xray_generator.reference_encoder.labels import patients
from xray_generator.reference_encoder.metrics import ClassPredictions
from xray_generator.reference_encoder.model import ReferenceEncoder

MIN_CASES = 10  # generated images of a class, for a figure of its own
MEASURE = "class_accuracy"


def classify(encoder: ReferenceEncoder, images: ImageSet, *, generated: bool) -> ClassPredictions:
    """The likeliest class of each image whose class is known; each generated image stands for a patient of its own."""
    if not images.rows or not encoder.classes:
        return ClassPredictions(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.str_))
    owners = np.arange(len(images)).astype(np.str_) if generated else patients(images.rows)
    return ClassPredictions.of(images.rows, encoder.classes, encoder.class_probabilities(images.images), owners)


def measure_class_accuracy(
    encoder: ReferenceEncoder, generated: ImageSet, real: ImageSet, rng: np.random.Generator
) -> list[Measurement]:
    """Share of generated images whose likeliest class is the one that was asked for, overall and for each class.

    Args:
        encoder: the classifier; without classes nothing is measured.
        generated: images with the rows whose classes were used.
        real: images of the test split with their rows, for the accuracy of the classifier itself.
        rng: for the bootstrap.
    """
    if not encoder.classes:
        return []
    drawn, unseen = classify(encoder, generated, generated=True), classify(encoder, real, generated=False)
    common: dict[str, Any] = {"split": "test", "extractor": encoder.name}
    if not len(drawn.truth):
        reason = (
            "no two classes that the classifier knows were asked for" if generated.rows else "the classes are not known"
        )
        return [Measurement(MEASURE, None, len(generated), reason=reason, **common)]
    scopes = {"": (drawn, unseen)}
    scopes |= {name: (drawn.of_class(i), unseen.of_class(i)) for i, name in enumerate(encoder.classes)}
    found = []
    for name, (ours, theirs) in scopes.items():
        fixed: dict[str, Any] = {"n": len(ours.truth), "condition": name, **common}
        if name and len(ours.truth) < MIN_CASES:
            reason = f"{len(ours.truth)} images of it were asked for; {MIN_CASES} needed"
            found.append(Measurement(MEASURE, None, reason=reason, **fixed))
            continue
        fixed |= {"interval": ours.interval(rng), "real": theirs.accuracy, "real_n": len(theirs.truth)}
        found.append(Measurement(MEASURE, ours.accuracy, **fixed))
    return found


def class_confusion(encoder: ReferenceEncoder, generated: ImageSet, real: ImageSet) -> tuple[dict[str, Any], ...]:
    """How many images of each class, asked for or real, the classifier assigns to each class."""
    rows: list[dict[str, Any]] = []
    for images, is_generated in ((generated, True), (real, False)):
        found = classify(encoder, images, generated=is_generated)
        if len(found.truth):
            counts = confusion_matrix(found.truth, found.predicted, labels=range(len(encoder.classes))).tolist()
            rows += [
                {"class": name, "images": images.name}
                | {f"called {other}": count for other, count in zip(encoder.classes, line, strict=True)}
                for name, line in zip(encoder.classes, counts, strict=True)
            ]
    return tuple(rows)
