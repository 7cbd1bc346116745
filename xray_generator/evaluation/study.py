"""What one evaluation compares, the feature spaces and classifiers that it compares with, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from xray_generator.data.rows import Row, row_conditions
from xray_generator.evaluation.features import Classifier, Extractor, Principal, Radiomics, Remembering
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.pretrained import Inception, pretrained_extractors
from xray_generator.evaluation.records import Curve, Measurement
from xray_generator.evaluation.speed import Draw
from xray_generator.reference_encoder.manifest import fitting_encoder
from xray_generator.reference_encoder.model import ReferenceEncoder, load_reference_encoder
from xray_generator.types import CheckpointRef, Engine, GenerationRequest, StudioError

MIN_IMAGES = 20  # on each side, for a subset of the images to stand for all
PRETRAINED_SIZE = 299  # input side of Inception-v3 in pixels; the networks for X-rays take larger images
NUM_COMPONENTS = 32  # of the encoder: half of the unseen images are too few for a Fréchet distance of all its features
NO_ENCODER = (
    "outputs/encoders/ holds no reference encoder of such images: features are radiomics, and fidelity to prompts and "
    "classes is not measured."
)


@dataclass(frozen=True, slots=True)
class Space:
    """A feature space and its input side in pixels: images of that resolution lose nothing in it."""

    extractor: Extractor
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class Classifiers:
    """Feature spaces, the best first (memorization, conditions and sweeps are measured in it), and classifiers."""

    spaces: tuple[Space, ...]
    encoder: ReferenceEncoder | None = None
    inception: Classifier | None = None
    notes: tuple[str, ...] = ()


def find_classifiers(
    real: ImageSet, encoders: Path, device: str | None, *, pretrained: bool, rows: Sequence[Row] = ()
) -> Classifiers:
    """The reference encoder that fits the images, radiomics in units of the real images, and pretrained networks.

    Args:
        real: unseen real images.
        encoders: holds a folder for each reference encoder.
        device: for the encoder.
        pretrained: whether to look for Inception-v3 and the like, which are slow.
        rows: of the generated images, used to choose the encoder where the real ones have no rows.

    Raises:
        StudioError: fewer than two real images, or a damaged encoder.
    """
    folder = fitting_encoder(encoders, real.rows or rows)
    encoder = load_reference_encoder(folder, device) if folder else None
    others, missing = pretrained_extractors() if pretrained else ([], {})
    spaces = [
        *(encoder_spaces(encoder, real) if encoder else []),
        Space(Remembering(Radiomics.of(real.images)), int(real.images.shape[-1])),
        *(Space(Remembering(other), PRETRAINED_SIZE) for other in others),
    ]
    notes = [*([] if encoder else [NO_ENCODER]), *(f"{name} is not used: {reason}" for name, reason in missing.items())]
    inception = next((other for other in others if isinstance(other, Inception)), None)
    return Classifiers(tuple(spaces), encoder, inception, tuple(notes))


def encoder_spaces(encoder: ReferenceEncoder, real: ImageSet) -> list[Space]:
    """All features of an encoder, and the principal components of real images if there are more than 32 of both."""
    whole = Remembering(encoder)
    spaces = [Space(whole, encoder.size)]
    if min(encoder.dimension, len(real)) > NUM_COMPONENTS:
        spaces.append(Space(Principal.of(whole, real.images, NUM_COMPONENTS), encoder.size))
    return spaces


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """The model with one ablation."""

    change: str
    predicted: str
    redraw: Callable[[Sequence[Row]], ImageSet]


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A loaded checkpoint, which can be timed and asked for more images."""

    checkpoint: CheckpointRef
    components: Mapping[str, nn.Module]
    request: GenerationRequest  # resolved: the settings of all images, apart from condition and seed
    draw: Draw
    redraw: Callable[[Sequence[Row], dict[str, Any]], ImageSet]  # images for rows, with other settings
    peak_memory_mb: float | None  # of the process after its first image; None: it held other models before
    engine: Engine
    reconstruct: Callable[[ImageSet], NDArray[np.float32]] | None = None  # (N, H, W), by its autoencoder
    variants: tuple[Variant, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """Generated images, the unseen real ones that they are compared with, and what compares them."""

    generated: ImageSet
    real: ImageSet
    split: str  # of the real images: "val+test"
    seed: int
    classifiers: Classifiers
    cache: Path
    training: tuple[Row, ...] = ()  # what the generator may have memorized
    model: Model | None = None

    @property
    def size(self) -> int:
        """The side of all images in pixels."""
        return int(self.real.images.shape[-1])

    @property
    def space(self) -> Space:
        """The best feature space."""
        return self.classifiers.spaces[0]

    def require_model(self) -> Model:
        """The checkpoint; StudioError where the images are those of a folder."""
        if self.model is None:
            raise StudioError("These are images of a folder, so there is no checkpoint to measure.")
        return self.model

    def test_images(self) -> ImageSet:
        """The real images that the reference encoder never saw, not even for its thresholds.

        Raises:
            StudioError: there are none.
        """
        places = [i for i, row in enumerate(self.real.rows) if row.split == "test"]
        if not places:
            raise StudioError("There are no real images of the test split with known labels.")
        return replace(self.real.take(places), name="real, test")

    def pair(self, size: int) -> tuple[ImageSet, ImageSet]:
        """Generated and real images whose originals have at least `size` pixels a side, or an unknown size.

        An enlarged image is blurred, and a generator that draws sharply must not be blamed for it. Generated images are
        chosen by the originals of their prompts, so that both sides have the same mix. Where fewer than 20 are left on
        a side, all are compared.
        """
        pair = (self.generated.take(_sharp(self.generated, size)), self.real.take(_sharp(self.real, size)))
        return pair if min(map(len, pair)) >= MIN_IMAGES else (self.generated, self.real)


def _sharp(images: ImageSet, size: int) -> NDArray[np.intp]:
    if not images.rows:
        return np.arange(len(images))
    return np.flatnonzero([row.native_size == 0 or row.native_size >= size for row in images.rows])


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """What one or several measures found."""

    measurements: tuple[Measurement, ...] = ()
    curves: dict[str, Curve] = field(default_factory=dict)
    tables: dict[str, tuple[dict[str, Any], ...]] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)  # file name -> figure
    notes: tuple[str, ...] = ()

    def __add__(self, other: Findings) -> Findings:
        return Findings(
            self.measurements + other.measurements,
            self.curves | other.curves,
            self.tables | other.tables,
            self.figures | other.figures,
            self.notes + other.notes,
        )


def conditions(rows: Sequence[Row]) -> dict[str, list[int]]:
    """The places of the rows of each class, finding, view, sex and age group."""
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        for name in row_conditions(row):
            places.setdefault(name, []).append(place)
    return dict(sorted(places.items()))
