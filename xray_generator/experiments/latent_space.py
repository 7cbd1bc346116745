"""The latent space of a model of classes: amounts along its directions, a map of samples, and sizes compared.

All of it is made of latents that the model draws itself, or of the one image that a visitor brings. Latents of training
images are never shown, because the images can be decoded from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xray_generator.abilities import Autoencoding, Traversing
from xray_generator.checkpoints import Manifest
from xray_generator.data.class_folders import has_class_folders
from xray_generator.data.fitting import fit_square
from xray_generator.data.read import is_labeled
from xray_generator.data.rows import Row, evenly
from xray_generator.data.tables import write_table
from xray_generator.devices import seeded_generators
from xray_generator.generation import require
from xray_generator.images import from_tensor
from xray_generator.registry import offers
from xray_generator.types import (
    ClassLabel,
    Engine,
    GenerationRequest,
    GenerationResult,
    Image,
    OnStep,
    StudioError,
    part,
)

if TYPE_CHECKING:
    from sklearn.decomposition import PCA
    from torch import Tensor

    from xray_generator.studio import Studio

AMOUNTS = tuple(step / 2 for step in range(-6, 7))  # standard deviations along a direction
STRIP = slice(None, None, 2)  # the seven of them that stand in a strip
PER_CLASS, MAP_BATCH = 24, 8  # samples of a map
LACK = "has no latent space to explore"


@dataclass(frozen=True, slots=True, eq=False)
class LatentMap:
    """Samples of every class as points along the first two principal components of all their latents.

    The sign of a component is scikit-learn's: its weight of largest magnitude is positive.
    """

    labels: tuple[str, ...]  # of each point
    seeds: tuple[int, ...]
    points: NDArray[np.float64]  # (N, 2)
    pca: PCA

    @property
    def explained_variance(self) -> tuple[float, float]:
        """The share of the variance along each component."""
        first, second = self.pca.explained_variance_ratio_
        return float(first), float(second)

    def csv(self) -> str:
        """A line for each point: class, seed, its two coordinates."""
        columns = zip(self.labels, self.seeds, *self.points.T.tolist(), strict=True)
        rows = ((label, seed, f"{x:.6g}", f"{y:.6g}") for label, seed, x, y in columns)
        return write_table(("synthetic_class", "seed", "component_1", "component_2"), rows)

    def project(self, latents: NDArray[np.float32]) -> tuple[float, float]:
        """Where latents (C, h, w) lie on the map."""
        x, y = self.pca.transform(latents.reshape(1, -1).astype(np.float64))[0]
        return float(x), float(y)


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Images of one class: training images, and generated ones of each size."""

    label: str
    real: tuple[Image, ...]  # fitted to the largest size
    rows: tuple[Row, ...]  # of the real images
    skipped: tuple[str, ...]  # real images that could not be read
    generated: tuple[GenerationResult, ...]


def map_latents(
    engine: Engine, labels: Sequence[str], per_class: int = PER_CLASS, on_step: OnStep | None = None
) -> LatentMap:
    """Draw `per_class` samples of every class, with seeds from 0 on, and project their latents by PCA.

    Raises:
        StudioError: the checkpoint has no latents to explore.
    """
    from sklearn.decomposition import PCA  # takes a while

    sampler, decoder = require(engine, Traversing, LACK), require(engine, Autoencoding, LACK)
    drawn = []
    for index, label in enumerate(labels):
        report = part(on_step, index, len(labels))
        for start in range(0, per_class, MAP_BATCH):
            generators = seeded_generators(start, min(MAP_BATCH, per_class - start))
            latents = sampler.draw_latents(label, generators)
            drawn.append(latents.float().cpu().numpy().reshape(len(generators), -1).astype(np.float64))
            report(start + len(generators), per_class, partial(_decode_first, decoder, latents, label))
    pca = PCA(2, svd_solver="full")
    points = pca.fit_transform(np.concatenate(drawn))
    names = tuple(label for label in labels for _ in range(per_class))
    return LatentMap(names, tuple(range(per_class)) * len(labels), points, pca)


def _decode_first(decoder: Autoencoding, latents: Tensor, label: str) -> Image:
    return from_tensor(decoder.decode(latents[:1], label))[0]


def labeled_folders(root: Path) -> tuple[Path, ...]:
    """The datasets with classes in a folder: itself, and the folders in it."""
    if not root.is_dir():
        return ()
    folders = (root, *sorted(path for path in root.iterdir() if path.is_dir()))
    return tuple(folder for folder in folders if is_labeled(folder) or has_class_folders(folder))


def same_classes(manifest: Manifest, others: Sequence[Manifest]) -> tuple[Manifest, ...]:
    """The checkpoints with latents to explore that draw the classes of `manifest`, the smallest images first."""
    alike = [other for other in others if offers(other, "traverse") and set(other.labels) == set(manifest.labels)]
    return tuple(sorted(alike, key=lambda other: (max(other.sizes), other.name)))


def compare_sizes(
    studio: Studio,
    manifests: Sequence[Manifest],
    label: str,
    rows: Sequence[Row],
    seed: int,
    count: int,
    on_step: OnStep | None = None,
) -> Comparison:
    """Draw `count` images of a class with each checkpoint, and read as many of its training images.

    Raises:
        StudioError: a checkpoint cannot draw the class.
    """
    results = []
    for index, manifest in enumerate(manifests):
        size = max(manifest.sizes)
        request = GenerationRequest(ClassLabel(label), count, size, size, seed=seed)
        results.append(studio.generate(request, manifest.ref.full_name, part(on_step, index, len(manifests))))
    largest = max(max(manifest.sizes) for manifest in manifests)
    images, read, skipped = [], [], []
    for row in evenly([row for row in rows if row.label == label and row.split == "train"], count):
        try:
            images.append(fit_square(row.image(), largest).image)
            read.append(row)
        except StudioError as error:
            skipped.append(str(error))
    return Comparison(label, tuple(images), tuple(read), tuple(skipped), tuple(results))
