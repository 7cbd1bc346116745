"""A memorization check of a few images against the training images that are here, and the closest pairs of a record.

It finds less than the audit of a record: a training image that is not here cannot be recognized.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xray_generator.data.rows import Row
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.records import Measurement, Record
from xray_generator.reference_encoder.manifest import fitting_encoder
from xray_generator.types import StudioError

if TYPE_CHECKING:
    from xray_generator.evaluation.features import Extractor


@dataclass(frozen=True, slots=True)
class ClosestPair:
    """A generated image and the training image nearest to it."""

    image: str  # its name
    place: int | None  # its index in the set that was checked; None: from a record
    training_image: str  # folder/name, as in the record
    path: Path | None  # of the training image, if it is here
    similarity: float  # of pixels at the best alignment: 1 is a copy
    flipped: bool
    flagged: bool
    score: float  # above the closeness of unseen real images, in their standard deviations
    threshold: float  # a higher score is flagged


@dataclass(frozen=True, slots=True)
class MemorizationCheck:
    """The result of a check."""

    pairs: tuple[ClosestPair, ...]  # one for each image, the closest first
    measurements: tuple[Measurement, ...]
    num_training: int

    @property
    def num_flagged(self) -> int:
        """How many images are closer to a training image than nearly all unseen real images are."""
        return sum(pair.flagged for pair in self.pairs)


def feature_space(encoders: Path, unseen: ImageSet, device: str | None) -> Extractor:
    """The feature space used besides pixels: the reference encoder that fits the images, or else radiomics.

    Raises:
        StudioError: a damaged encoder; or no encoder and fewer than two unseen images.
    """
    from xray_generator.evaluation.features import Radiomics

    folder = fitting_encoder(encoders, unseen.rows)
    if folder is None:
        return Radiomics.of(unseen.images)
    from xray_generator.reference_encoder.model import load_reference_encoder  # imports torch

    return load_reference_encoder(folder, device)


def check_memorization(
    generated: ImageSet, unseen: ImageSet, training: Sequence[Row], extractor: Extractor, cache: Path
) -> MemorizationCheck:
    """Compare images with training images, with unseen real images as the reference.

    Raises:
        StudioError: no image, no training image, or fewer than 19 unseen images.
    """
    from xray_generator.evaluation.memorization import audit  # imports scikit-learn
    from xray_generator.evaluation.training_set import read_training

    if not len(generated):
        raise StudioError("There is no generated image to check.")
    known = read_training(training, int(unseen.images.shape[-1]), extractor, cache)
    found = audit(generated, unseen, known, extractor, np.random.default_rng(0), "val+test")
    scores, flags, near = found.threshold.scores(found.near), found.flags, found.near
    pairs = []
    for i in map(int, found.order):
        path = known.rows[int(near.match.place[i])].path
        pairs.append(
            ClosestPair(
                generated.names[i],
                i,
                _name(path),
                path,
                float(near.match.similarity[i]),
                bool(near.match.flipped[i]),
                bool(flags[i]),
                float(scores[i]),
                found.threshold.strictness,
            )
        )
    return MemorizationCheck(tuple(pairs), found.measurements, len(known.rows))


def recorded_pairs(record: Record, rows: Sequence[Row]) -> tuple[ClosestPair, ...]:
    """The closest pairs of a record, with the training images found among `rows`; damaged lines are left out."""
    at_hand = {_name(row.path): row.path for row in rows}
    pairs = []
    for line in record.tables.get("closest_pairs", ()):
        try:
            pairs.append(_pair(line, at_hand))
        except (KeyError, TypeError, ValueError):
            continue
    return tuple(pairs)


def _pair(line: Mapping[str, Any], at_hand: Mapping[str, Path]) -> ClosestPair:
    training_image = str(line["training_by_pixels"])
    return ClosestPair(
        str(line["image"]),
        None,
        training_image,
        at_hand.get(training_image),
        float(line["similarity"]),
        bool(line["flipped"]),
        bool(line["flagged"]),
        float(line["score"]),
        float(line["threshold"]),
    )


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
