"""Feature spaces: each turns images into vectors, and raises a readable error where it cannot."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from xray_generator.evaluation import radiomics
from xray_generator.types import StudioError


class Extractor(Protocol):
    """A named feature space."""

    @property
    def name(self) -> str:
        """As records and figures call it, with the version or hash of its weights where it has any."""
        ...

    @property
    def dimension(self) -> int:
        """D, the length of a feature vector."""
        ...

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Features (N, D) of images (N, H, W) in [0, 1]."""
        ...


class Classifier(Protocol):
    """A classifier that assigns each image to one of C classes."""

    @property
    def name(self) -> str:
        """As records and figures call it."""
        ...

    def probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities (N, C), of sum 1, of images (N, H, W) in [0, 1]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Radiomics:
    """The 46 radiomics, each in units of its standard deviation over real images."""

    mean: NDArray[np.float64]  # (46,)
    deviation: NDArray[np.float64]
    name: str = "radiomics 1"
    dimension: int = len(radiomics.NAMES)

    @classmethod
    def of(cls, real: NDArray[np.float32]) -> Radiomics:
        """The space scaled by some real images (N, H, W); StudioError without two of them."""
        if len(real) < 2:
            raise StudioError(f"Radiomics needs two real images or more to set its scale, not {len(real)}.")
        features = _radiomics(real)
        deviation = features.std(axis=0)
        return cls(features.mean(axis=0), np.where(deviation > 0, deviation, 1))

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Features (N, 46) of images (N, H, W) in [0, 1]."""
        return (_radiomics(images) - self.mean) / self.deviation


def _radiomics(images: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.array([radiomics.radiomics(image) for image in images]).reshape(len(images), len(radiomics.NAMES))


@dataclass(frozen=True, slots=True, eq=False)
class Principal:
    """The principal components of another space over real images: few enough for a Fréchet distance.

    It does not see what generated images do in other directions; the kernel distance of the whole space does.
    """

    extractor: Extractor
    pca: PCA

    @classmethod
    def of(cls, extractor: Extractor, real: NDArray[np.float32], dimension: int) -> Principal:
        """The first components of real images (N, H, W); StudioError where they have fewer."""
        most = min(len(real) - 1, extractor.dimension)
        if not 1 <= dimension <= most:
            raise StudioError(
                f"From {len(real)} images in {extractor.name}, 1 to {most} components can be computed, not {dimension}."
            )
        return cls(extractor, PCA(dimension, svd_solver="full").fit(extractor(real)))

    @property
    def name(self) -> str:
        """The other space, and how many components of it."""
        return f"{self.extractor.name}, {self.dimension} components"

    @property
    def dimension(self) -> int:
        """How many components."""
        return int(self.pca.n_components)

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Features (N, dimension) of images (N, H, W) in [0, 1]."""
        return np.asarray(self.pca.transform(self.extractor(images)), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Remembering:
    """Another space with a cache: each image is processed once, however many measures need it."""

    extractor: Extractor
    seen: dict[bytes, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The other space."""
        return self.extractor.name

    @property
    def dimension(self) -> int:
        """The length of a feature vector."""
        return self.extractor.dimension

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Features (N, D) of images (N, H, W) in [0, 1]."""
        keys = [hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest() for image in images]
        new = {key: place for place, key in enumerate(keys) if key not in self.seen}
        if new:
            self.seen.update(zip(new, self.extractor(images[list(new.values())]), strict=True))
        return np.array([self.seen[key] for key in keys]).reshape(len(keys), self.dimension)
