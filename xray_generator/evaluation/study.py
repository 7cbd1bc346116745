"""What one evaluation looks at, and what it finds."""

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
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.records import Curve, Measurement
from xray_generator.evaluation.spaces import Classifiers
from xray_generator.evaluation.speed import Draw
from xray_generator.types import CheckpointRef, GenerationRequest, StudioError

NO_MODEL = "images of a folder: no checkpoint to ask"
MIN_IMAGES = 20  # a side, for a part of the images to stand for all


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """The model with one ablation moved."""

    change: str
    predicted: str
    redraw: Callable[[Sequence[Row]], ImageSet]


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A loaded checkpoint, where there is one: it can be timed and asked for more images."""

    checkpoint: CheckpointRef
    components: Mapping[str, nn.Module]
    request: GenerationRequest  # resolved: what the images were drawn with, but for condition and seed
    draw: Draw
    redraw: Callable[[Sequence[Row], dict[str, Any]], ImageSet]  # prompts or classes, and other settings
    peak_memory_mb: float  # of the process when it had drawn one image and held no others
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
    training: tuple[Row, ...] = ()  # what the generator may have copied
    model: Model | None = None

    @property
    def size(self) -> int:
        """Pixels a side of all images."""
        return int(self.real.images.shape[-1])

    def test_films(self) -> ImageSet:
        """The real films that also the reference encoder never saw, not even for its thresholds.

        Raises:
            StudioError: there are none.
        """
        places = [i for i, row in enumerate(self.real.rows) if row.split == "test"]
        if not places:
            raise StudioError("There are no real films of the test split with known labels.")
        return replace(self.real.take(places), name="real, test")

    def pair(self, size: int) -> tuple[ImageSet, ImageSet]:
        """Generated and real images of films with at least `size` pixels a side, or not known to have fewer.

        An enlarged film is blurred, and a generator that draws sharply must not be blamed for it. Of the generated
        images those with the prompts of such films are taken, so that both sides show the same. Where too few are left,
        all are compared.
        """
        pair = (self.generated.take(_sharp(self.generated, size)), self.real.take(_sharp(self.real, size)))
        return pair if min(map(len, pair)) >= MIN_IMAGES else (self.generated, self.real)


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
    """The places of the rows of each class, finding, view, sex and age group, under the names of `labels`."""
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        for name in row_conditions(row):
            places.setdefault(name, []).append(place)
    return dict(sorted(places.items()))


def _sharp(images: ImageSet, size: int) -> NDArray[np.intp]:
    if not images.rows:
        return np.arange(len(images))
    return np.flatnonzero([row.native_size == 0 or row.native_size >= size for row in images.rows])
