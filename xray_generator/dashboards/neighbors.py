"""Nearest real neighbors of generated images in a chosen space, with distances between real images as the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xray_generator.dashboards.side_by_side import Sides
from xray_generator.data.rows import Row
from xray_generator.evaluation.image_sets import ImageSet, groups
from xray_generator.evaluation.pixel_match import thumbnails
from xray_generator.evaluation.records import Curve
from xray_generator.reference_encoder.bootstrap import Floats
from xray_generator.reference_encoder.manifest import fitting_encoder
from xray_generator.types import StudioError

ENCODER, RADIOMICS, PIXELS = "reference encoder", "radiomics", "pixels"
UNITS = {
    ENCODER: "standard deviations of the features over these real images",
    RADIOMICS: "standard deviations of the features over these real images",
    PIXELS: "root mean square difference of gray levels at 64 x 64 pixels",
}
MIN_REAL = 3
NUM_BINS = 20
Features = Callable[[NDArray[np.float32]], Floats]


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A real image and its distance."""

    place: int
    distance: float


@dataclass(frozen=True, slots=True, eq=False)
class Neighborhood:
    """Distances of generated to real images, and of real images to the nearest one of another patient."""

    space: str
    distances: Floats  # (G, R)
    real_nearest: Floats  # (R,)

    @property
    def nearest(self) -> Floats:
        """(G,) the distance of each generated image to its nearest real one."""
        return np.asarray(self.distances.min(axis=1))

    def of(self, place: int, count: int) -> tuple[Neighbor, ...]:
        """The `count` real images nearest to a generated one, nearest first."""
        order = np.argsort(self.distances[place], kind="stable")[:count]
        return tuple(Neighbor(int(i), float(self.distances[place, i])) for i in order)

    def share_nearer(self, distance: float) -> float:
        """The share of real images closer than `distance` to an image of another patient."""
        return float((self.real_nearest < distance).mean())

    @property
    def medians(self) -> tuple[float, float]:
        """Median nearest distance of generated images and of real images."""
        return float(np.median(self.nearest)), float(np.median(self.real_nearest))


def spaces_at_hand(encoders: Path, rows: Sequence[Row] = ()) -> tuple[str, ...]:
    """The spaces to choose from; the reference encoder if one is in the folder."""
    return (*((ENCODER,) if fitting_encoder(encoders, rows) else ()), RADIOMICS, PIXELS)


def find_features(space: str, encoders: Path, device: str | None, rows: Sequence[Row] = ()) -> Features:
    """The function from images (N, H, W) to vectors (N, D) of a space; loads the network of the reference encoder.

    Raises:
        StudioError: no encoder in the folder, or a damaged one.
    """
    if space == PIXELS:
        return _pixels
    if space == RADIOMICS:
        from xray_generator.evaluation.radiomics import radiomics

        return lambda images: np.array([radiomics(image) for image in images], np.float64)
    from xray_generator.reference_encoder.model import load_reference_encoder  # imports torch

    folder = fitting_encoder(encoders, rows)
    if folder is None:
        raise StudioError("outputs/encoders/ holds no reference encoder. Choose radiomics or pixels.")
    return load_reference_encoder(folder, device)


def neighborhood(sides: Sides, space: str, features: Features) -> Neighborhood:
    """All distances between both sides.

    Raises:
        StudioError: no generated image, or fewer than three real ones.
    """
    if not len(sides.generated) or len(sides.real) < MIN_REAL:
        raise StudioError(
            f"Neighbors need at least one generated and {MIN_REAL} real images; "
            f"here are {len(sides.generated)} and {len(sides.real)}."
        )
    ours, theirs = features(sides.generated.images), features(sides.real.images)
    if space == PIXELS:
        scale = np.full(theirs.shape[1], theirs.shape[1] ** 0.5)
    else:
        scale = theirs.std(axis=0)
        scale = np.where(scale > 0, scale, 1)
    return Neighborhood(
        space, _distances(ours / scale, theirs / scale), _others(_distances(theirs / scale, theirs / scale), sides.real)
    )


def nearest_curve(found: Neighborhood) -> Curve:
    """Histograms of the nearest distances of both sides."""
    edges = np.histogram_bin_edges(np.concatenate([found.nearest, found.real_nearest]), NUM_BINS)
    lines: dict[str, tuple[float | None, ...]] = {
        name: tuple((np.histogram(values, edges)[0] / len(values)).tolist())
        for name, values in (("real to real", found.real_nearest), ("generated to real", found.nearest))
    }
    centers = tuple(((edges[:-1] + edges[1:]) / 2).tolist())
    return Curve("Distance to the nearest real image", UNITS[found.space], "share of images", centers, lines)


def _pixels(images: NDArray[np.float32]) -> Floats:
    return np.asarray(thumbnails(images).reshape(len(images), -1), np.float64)


def _distances(some: Floats, others: Floats) -> Floats:
    squares = (some**2).sum(axis=1)[:, None] - 2 * some @ others.T + (others**2).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squares, 0)))


def _others(distances: Floats, real: ImageSet) -> Floats:
    """(R,) the distance of each image to the nearest of another patient; if all are of one patient, to any other."""
    owners = groups(real)
    same = owners[:, None] == owners[None, :]
    if same.all():
        same = np.eye(len(real), dtype=np.bool_)
    return np.asarray(np.where(same, np.inf, distances).min(axis=1))
