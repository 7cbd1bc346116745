"""Class fidelity: is an image, to a classifier trained on real images alone, most likely of the class asked for?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xray_generator.data.rows import Row
from xray_generator.evaluation.bootstrap import Interval, mean_interval
from xray_generator.evaluation.encoder_manifest import ClassQuality
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.labels import class_places, patients
from xray_generator.evaluation.memorization import rate_interval
from xray_generator.evaluation.records import Measurement
from xray_generator.evaluation.reference_encoder import ReferenceEncoder

MIN_CASES = 10  # generated images of a class, for a figure of its own
MEASURE = "class_accuracy"


@dataclass(frozen=True, slots=True)
class Called:
    """What the classifier takes images of known class for; images of another class, or of none, are left out."""

    truth: NDArray[np.intp]  # (N,) places in the classifier's classes
    called: NDArray[np.intp]  # (N,) likewise
    owners: NDArray[np.str_]  # (N,) patients; of generated images the images themselves

    @property
    def hits(self) -> NDArray[np.float64]:
        """(N,) 1 where the classifier is right."""
        return np.asarray(self.truth == self.called, np.float64)

    def of(self, place: int) -> Called:
        """Those of one class."""
        inside = self.truth == place
        return Called(self.truth[inside], self.called[inside], self.owners[inside])

    def interval(self, rng: np.random.Generator) -> Interval | None:
        """95 % of the share of hits, by a bootstrap over owners.

        Where all are hits, or none is, a bootstrap would claim to be certain: Wilson 1927 over the owners stands in.
        """
        if len(set(self.hits.tolist())) == 1:
            return rate_interval(np.full(len(set(self.owners.tolist())), bool(self.hits[0])))
        return mean_interval(self.hits, rng, owners=self.owners)

    @property
    def accuracy(self) -> float | None:
        """Share of hits; None without an image."""
        return float(self.hits.mean()) if len(self.truth) else None


def call(encoder: ReferenceEncoder, images: ImageSet, *, generated: bool) -> Called:
    """What the classifier takes generated images, or real ones, for: the likeliest of its classes."""
    if not images.rows or not encoder.classes:
        return Called(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.str_))
    owners = np.arange(len(images)).astype(np.str_) if generated else patients(images.rows)
    return call_rows(images.rows, encoder.classes, encoder.class_probabilities(images.images), owners)


def call_rows(
    rows: Sequence[Row], classes: Sequence[str], probabilities: NDArray[np.float64], owners: NDArray[np.str_]
) -> Called:
    """The same from probabilities (N, C)."""
    truth = class_places(rows, classes)
    inside = truth >= 0
    return Called(truth[inside], probabilities.argmax(axis=1)[inside], owners[inside])


def class_quality(
    rows: Sequence[Row], classes: Sequence[str], probabilities: NDArray[np.float64]
) -> ClassQuality | None:
    """Accuracy of a classifier on real images it was not trained on; None where none has one of its classes."""
    if not classes or not rows:
        return None
    judged = call_rows(rows, classes, probabilities, patients(rows))
    accuracy = judged.accuracy
    if accuracy is None:
        return None
    recalls = {name: judged.of(i).accuracy for i, name in enumerate(classes)}
    return ClassQuality(
        len(judged.truth),
        accuracy,
        judged.interval(np.random.default_rng(0)),
        {name: value for name, value in recalls.items() if value is not None},
    )


def measure_class_accuracy(
    encoder: ReferenceEncoder,
    generated: ImageSet,
    real: ImageSet,
    rng: np.random.Generator,
    split: str = "test",
    settings: Mapping[str, Any] | None = None,
) -> list[Measurement]:
    """Share of generated images whose likeliest class is the one that was asked for, over all and of each class.

    Args:
        encoder: the classifier; without classes nothing is measured.
        generated: images with the rows whose classes were asked.
        real: unseen images with their rows: on them the classifier's own accuracy, the yardstick, is taken.
        rng: draws the bootstrap.
        split: of the real images.
        settings: what these images were drawn with where that varies, such as guidance.
    """
    if not encoder.classes:
        return []
    drawn, unseen = call(encoder, generated, generated=True), call(encoder, real, generated=False)
    common: dict[str, Any] = {"split": split, "extractor": encoder.name, "settings": dict(settings or {})}
    if not len(drawn.truth):
        reason = (
            "no two classes that the classifier knows were asked for" if generated.rows else "the classes are not known"
        )
        return [Measurement(MEASURE, None, len(generated), reason=reason, **common)]
    return list(_measurements(encoder.classes, drawn, unseen, rng, common))


def _measurements(
    classes: Sequence[str], drawn: Called, unseen: Called, rng: np.random.Generator, common: dict[str, Any]
) -> Iterator[Measurement]:
    scopes = {"": (drawn, unseen), **{name: (drawn.of(i), unseen.of(i)) for i, name in enumerate(classes)}}
    for name, (ours, theirs) in scopes.items():
        fixed: dict[str, Any] = {"n": len(ours.truth), "condition": name, **common}
        if name and len(ours.truth) < MIN_CASES:
            reason = f"{len(ours.truth)} images of it were asked for; {MIN_CASES} needed"
            yield Measurement(MEASURE, None, reason=reason, **fixed)
            continue
        yield Measurement(
            MEASURE, ours.accuracy, interval=ours.interval(rng), real=theirs.accuracy, real_n=len(theirs.truth), **fixed
        )


def class_confusion(encoder: ReferenceEncoder, generated: ImageSet, real: ImageSet) -> tuple[dict[str, Any], ...]:
    """How many images of each class, asked for or real, the classifier takes for each class."""
    return tuple(
        {"class": name, "images": images.name, **_counts(judged.of(place), encoder.classes)}
        for images, is_generated in ((generated, True), (real, False))
        for judged in [call(encoder, images, generated=is_generated)]
        for place, name in enumerate(encoder.classes)
        if len(judged.truth)
    )


def _counts(judged: Called, classes: Sequence[str]) -> dict[str, int]:
    counts = np.bincount(judged.called, minlength=len(classes)).tolist()
    return {f"called {name}": count for name, count in zip(classes, counts, strict=True)}
