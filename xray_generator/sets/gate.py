"""Whether an image may enter a set: the reference classifier sees what was asked for, and it is no copy.

Images are judged one at a time, since a network's last bits depend on how many it is given at once, and a set must not
depend on how it was shared out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.memorization import feature_space
from xray_generator.data.rows import AGE_GROUPS, Row
from xray_generator.evaluation.features import Extractor
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.inputs import read_real
from xray_generator.evaluation.memorization import Threshold, calibrate, nearest
from xray_generator.evaluation.training_set import TrainingSet, read_training
from xray_generator.experiments.counterfactual import find_classifier
from xray_generator.reference_encoder.labels import prompt_targets
from xray_generator.reference_encoder.manifest import fitting_encoder
from xray_generator.sets.plan import Gate
from xray_generator.types import Image, StudioError

if TYPE_CHECKING:
    from xray_generator.reference_encoder.model import ReferenceEncoder

COPY = "nearer to a training image than 97 % of unseen real images are"
DIGITS = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one image; None: nobody looked, or nothing that was asked for can be judged."""

    disagreements: tuple[str, ...] | None = None  # what the classifier sees otherwise
    copy_score: float | None = None  # nearness to the training images, in spreads above the median of unseen real ones
    is_copy: bool | None = None

    @property
    def agrees(self) -> bool | None:
        """Whether the classifier sees all that was asked for and that it can judge."""
        return None if self.disagreements is None else not self.disagreements

    def reasons(self, gate: Gate) -> tuple[str, ...]:
        """Why the image must be drawn again; empty where it may enter the set."""
        seen = self.disagreements or () if gate.agrees == "require" else ()
        return (*seen, *([COPY] if gate.is_no_copy == "require" and self.is_copy else []))


@dataclass(frozen=True, slots=True)
class Yardsticks:
    """What the images of a set are judged by: the same for all of its shards."""

    classifier: str = ""  # its name with the hash of its weights; empty: none
    labels: tuple[str, ...] = ()  # that it is good enough to judge
    space: str = ""  # of features, in which copies are sought beside pixels; empty: they are not
    num_training: int = 0
    num_unseen: int = 0
    real_sha256: str = ""  # over the names of these images
    threshold: float | None = field(default=None, compare=False)  # of the copy score; the last digits vary by machine


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """The classifier and the search for copies, where they are asked for."""

    yardsticks: Yardsticks = field(default_factory=Yardsticks)
    classifier: ReferenceEncoder | None = None
    copies: _Copies | None = None

    def __call__(self, images: Sequence[Image], rows: Sequence[Row]) -> list[Verdict]:
        """The verdict on each image (H, W) in [0, 1] of what its row asks for."""
        seen = [self._disagreements(image, row) for image, row in zip(images, rows, strict=True)]
        if self.copies is None:
            return [Verdict(one) for one in seen]
        scores = self.copies.scores(np.stack(images))
        most = self.copies.threshold.strictness
        return [
            Verdict(one, round(float(score), DIGITS), bool(score > most))
            for one, score in zip(seen, scores, strict=True)
        ]

    def _disagreements(self, image: Image, row: Row) -> tuple[str, ...] | None:
        if self.classifier is None:
            return None
        if row.label:
            return self._other_class(self.classifier, image, row.label)
        return self._other_labels(self.classifier, image, row)

    def _other_class(self, classifier: ReferenceEncoder, image: Image, label: str) -> tuple[str, ...] | None:
        if label not in self.yardsticks.labels:
            return None
        likeliest = classifier.classes[int(np.argmax(classifier.class_probabilities(image[None])[0]))]
        return () if likeliest == label else (f"looks like {likeliest}",)

    def _other_labels(self, classifier: ReferenceEncoder, image: Image, row: Row) -> tuple[str, ...] | None:
        wanted = dict(zip(classifier.labels, prompt_targets([row], classifier.labels)[0], strict=True))
        known = [name for name in self.yardsticks.labels if not np.isnan(wanted[name])]
        # an age that is asked for denies all other ages, on whose borders no one agrees
        known = [name for name in known if wanted[name] or name not in AGE_GROUPS]
        if not known:
            return None
        probabilities = dict(zip(classifier.labels, classifier.probabilities(image[None])[0], strict=True))
        sees = {name: probabilities[name] >= classifier.calibration[name].threshold for name in known}
        return tuple(f"{name} {'seen' if sees[name] else 'not seen'}" for name in known if sees[name] != wanted[name])


@dataclass(frozen=True, slots=True, eq=False)
class _Copies:
    """The training images, and how near an unseen image is to them."""

    training: TrainingSet
    extractor: Extractor
    threshold: Threshold

    def scores(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        return self.threshold.scores(nearest(images, self.training, self.extractor))


@dataclass(frozen=True, slots=True, eq=False)
class _OneByOne:
    """Another feature space, given one image at a time."""

    extractor: Extractor

    @property
    def name(self) -> str:
        return self.extractor.name

    @property
    def dimension(self) -> int:
        return self.extractor.dimension

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        found = [self.extractor(image[None]) for image in images]
        return np.concatenate([np.empty((0, self.dimension)), *found])


def open_judge(
    gate: Gate, manifest: Manifest, size: int, *, encoders: Path, cache: Path, real: Path | None, device: str | None
) -> Judge:
    """What a gate needs to judge images of `size` pixels a side.

    Args:
        gate: which checks are asked for.
        manifest: of the checkpoint that draws.
        size: of the images.
        encoders: holds a folder for each reference encoder.
        cache: keeps the features of the training images.
        real: the dataset that the checkpoint learned from; its unseen images set the threshold.
        device: for the encoder.

    Raises:
        StudioError: no classifier fits, or there is no dataset, although the gate needs it; or too few unseen images.
    """
    classifier, labels = _find_labels(manifest, encoders, device) if gate.agrees != "off" else (None, ())
    if gate.agrees == "require" and not labels:
        raise StudioError(
            f"No reference classifier in {encoders} judges images of {manifest.name}. Train one (python -m "
            "xray_generator.train_encoder), or say gate.agrees=off."
        )
    judge = Judge(Yardsticks(classifier.name if classifier is not None else "", labels), classifier)
    if gate.is_no_copy == "off":
        return judge
    if real is None:
        raise StudioError(
            "The search for copies needs the training images: --real DATASET; or say gate.is_no_copy=off."
        )
    return _seek_copies(judge, real, size, encoders, cache, device)


def _seek_copies(judge: Judge, real: Path, size: int, encoders: Path, cache: Path, device: str | None) -> Judge:
    """The judge, which also compares with the training images of a dataset."""
    data = read_real(real, size, "unseen", sharp_only=False)
    if not data.training:
        raise StudioError(f"{real.name} has no rows of the split train, so copies cannot be sought.")
    space = feature_space(encoders, data.images, device)
    training, extractor = read_training(data.training, size, space, cache), _OneByOne(space)
    threshold = calibrate(nearest(data.images.images, training, extractor))
    yardsticks = replace(
        judge.yardsticks,
        space=space.name,
        num_training=len(training.rows),
        num_unseen=len(data.images),
        real_sha256=_digest(training, data.images),
        threshold=round(threshold.strictness, DIGITS),
    )
    return replace(judge, yardsticks=yardsticks, copies=_Copies(training, extractor, threshold))


def _find_labels(
    manifest: Manifest, encoders: Path, device: str | None
) -> tuple[ReferenceEncoder | None, tuple[str, ...]]:
    """The classifier of a checkpoint's images, and which of its labels it can judge; none where there is none."""
    if not manifest.labels:
        found = find_classifier(encoders, device)
        if found is None:
            return None, ()
        return found.encoder, tuple(label for label in found.encoder.labels if not found.reason(label))
    rows = [Row(Path(), "", (), label=label) for label in manifest.labels]
    folder = fitting_encoder(encoders, rows)
    if folder is None:
        return None, ()
    from xray_generator.reference_encoder.model import load_reference_encoder  # imports torch

    encoder = load_reference_encoder(folder, device)
    return encoder, tuple(name for name in encoder.classes if name in manifest.labels)


def _digest(training: TrainingSet, unseen: ImageSet) -> str:
    """Over the names of the real images, so that shards on several machines compare with the same ones."""
    names: Iterator[str] = (f"{row.path.parent.name}/{row.path.name}" for row in (*training.rows, *unseen.rows))
    return hashlib.sha256("\n".join(names).encode()).hexdigest()
