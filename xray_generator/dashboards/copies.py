"""A copy check of a few images against the training films at hand, made on request; the record's check is the full one.

It promises less than the record's: a film that is not at hand cannot be recognized.
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
class CopyPair:
    """A generated image and the training film that it is nearest to."""

    image: str  # its name
    place: int | None  # of the image in the set checked; None: of a record
    film: str  # folder/name of the training film, as in the record
    path: Path | None  # of the film, where it is at hand
    similarity: float  # of pixels at the best alignment: 1 is a copy
    flipped: bool
    flagged: bool
    score: float  # how far above what unseen films show, in their spreads
    threshold: float  # a higher score is flagged


@dataclass(frozen=True, slots=True)
class CopyCheck:
    """What the check of the images at hand found."""

    pairs: tuple[CopyPair, ...]  # all images, the nearest to a training film first
    measurements: tuple[Measurement, ...]
    num_training: int

    @property
    def num_flagged(self) -> int:
        """How many images are nearer to a training film than nearly all unseen films are."""
        return sum(pair.flagged for pair in self.pairs)


def copy_space(encoders: Path, unseen: ImageSet, device: str | None) -> Extractor:
    """The space of features beside pixels: the first reference encoder of a folder, else radiomics.

    Raises:
        StudioError: a damaged encoder, or without one fewer than two unseen films.
    """
    from xray_generator.evaluation.features import Radiomics

    folder = fitting_encoder(encoders, unseen.rows)
    if folder is None:
        return Radiomics.of(unseen.images)
    from xray_generator.reference_encoder.model import load_reference_encoder  # torch: not for opening a page

    return load_reference_encoder(folder, device)


def check_copies(
    generated: ImageSet, unseen: ImageSet, training: Sequence[Row], extractor: Extractor, cache: Path
) -> CopyCheck:
    """Audit images against training films, with unseen films as the yardstick.

    Raises:
        StudioError: no image, no training film, or fewer than 19 unseen films.
    """
    from xray_generator.evaluation.memorization import audit  # scikit-learn: not for opening a page
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
            CopyPair(
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
    return CopyCheck(tuple(pairs), found.measurements, len(known.rows))


def recorded_pairs(record: Record, rows: Sequence[Row]) -> tuple[CopyPair, ...]:
    """The closest pairs of a record, with the films that are among `rows`; a line that cannot be read is left out."""
    at_hand = {_name(row.path): row.path for row in rows}
    pairs = []
    for line in record.tables.get("closest_pairs", ()):
        try:
            pairs.append(_pair(line, at_hand))
        except (KeyError, TypeError, ValueError):
            continue
    return tuple(pairs)


def _pair(line: Mapping[str, Any], at_hand: Mapping[str, Path]) -> CopyPair:
    film = str(line["training_by_pixels"])
    return CopyPair(
        str(line["image"]),
        None,
        film,
        at_hand.get(film),
        float(line["similarity"]),
        bool(line["flipped"]),
        bool(line["flagged"]),
        float(line["score"]),
        float(line["threshold"]),
    )


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
