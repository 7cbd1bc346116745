"""The real films nearest to a generated image, in a space that a reader chooses, with real films as the yardstick."""

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
    ENCODER: "standard deviations of the features over these real films",
    RADIOMICS: "standard deviations of the features over these real films",
    PIXELS: "gray levels, root mean square over 64 x 64 pixels",
}
MIN_REAL = 3
NUM_BINS = 20
Features = Callable[[NDArray[np.float32]], Floats]


@dataclass(frozen=True, slots=True)
class Neighbor:
    """One real film, and how far it is."""

    place: int
    distance: float


@dataclass(frozen=True, slots=True, eq=False)
class Neighborhood:
    """Distances of each generated image to each real film, and of real films to the nearest one of another patient."""

    space: str
    distances: Floats  # (G, R)
    real_nearest: Floats  # (R,)

    @property
    def nearest(self) -> Floats:
        """(G,) the distance of each generated image to its nearest real film."""
        return np.asarray(self.distances.min(axis=1))

    def of(self, place: int, count: int) -> tuple[Neighbor, ...]:
        """The `count` real films nearest to a generated image, the nearest first."""
        order = np.argsort(self.distances[place], kind="stable")[:count]
        return tuple(Neighbor(int(i), float(self.distances[place, i])) for i in order)

    def share_nearer(self, distance: float) -> float:
        """The share of real films that are nearer to another patient's film than `distance`."""
        return float((self.real_nearest < distance).mean())

    @property
    def medians(self) -> tuple[float, float]:
        """Of the nearest distances: generated images, real films."""
        return float(np.median(self.nearest)), float(np.median(self.real_nearest))


def spaces_at_hand(encoders: Path, rows: Sequence[Row] = ()) -> tuple[str, ...]:
    """The spaces that can be chosen; the reference encoder where there is one in the folder of encoders."""
    return (*((ENCODER,) if fitting_encoder(encoders, rows) else ()), RADIOMICS, PIXELS)


def find_features(space: str, encoders: Path, device: str | None, rows: Sequence[Row] = ()) -> Features:
    """What turns images (N, H, W) into vectors (N, D); loads the encoder's network where that is the space.

    Raises:
        StudioError: no encoder in the folder, or a damaged one.
    """
    if space == PIXELS:
        return _pixels
    if space == RADIOMICS:
        from xray_generator.evaluation.radiomics import radiomics

        return lambda images: np.array([radiomics(image) for image in images], np.float64)
    from xray_generator.reference_encoder.model import load_reference_encoder  # torch: not for opening a page

    folder = fitting_encoder(encoders, rows)
    if folder is None:
        raise StudioError("There is no reference encoder in outputs/encoders/; choose radiomics or pixels.")
    return load_reference_encoder(folder, device)


def neighborhood(sides: Sides, space: str, features: Features) -> Neighborhood:
    """All distances between both sides.

    Raises:
        StudioError: no generated image, or fewer than three real films.
    """
    if not len(sides.generated) or len(sides.real) < MIN_REAL:
        raise StudioError(
            f"Neighbors need a generated image and {MIN_REAL} real films or more; "
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
    """How the nearest distances are distributed on both sides."""
    edges = np.histogram_bin_edges(np.concatenate([found.nearest, found.real_nearest]), NUM_BINS)
    lines: dict[str, tuple[float | None, ...]] = {
        name: tuple((np.histogram(values, edges)[0] / len(values)).tolist())
        for name, values in (("real to real", found.real_nearest), ("generated to real", found.nearest))
    }
    centers = tuple(((edges[:-1] + edges[1:]) / 2).tolist())
    return Curve("Distance to the nearest real film", UNITS[found.space], "share of images", centers, lines)


def _pixels(images: NDArray[np.float32]) -> Floats:
    return np.asarray(thumbnails(images).reshape(len(images), -1), np.float64)


def _distances(some: Floats, others: Floats) -> Floats:
    squares = (some**2).sum(axis=1)[:, None] - 2 * some @ others.T + (others**2).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squares, 0)))


def _others(distances: Floats, real: ImageSet) -> Floats:
    """(R,) the distance of each film to the nearest of another patient; of films of one patient alone, to any other."""
    owners = groups(real)
    same = owners[:, None] == owners[None, :]
    if same.all():
        same = np.eye(len(real), dtype=np.bool_)
    return np.asarray(np.where(same, np.inf, distances).min(axis=1))
