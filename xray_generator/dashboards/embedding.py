"""A map of images: similar images in a feature space become nearby points.

By principal components, or by t-SNE (van der Maaten & Hinton 2008), where only nearness has a meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xray_generator.data.rows import Row
from xray_generator.evaluation.image_sets import ImageSet, from_rows
from xray_generator.reference_encoder.bootstrap import Floats
from xray_generator.reference_encoder.manifest import fitting_encoder
from xray_generator.types import StudioError

METHODS = ("PCA", "t-SNE")
SIZE = 128  # pixels a side that radiomics and the encoder look at
MIN_IMAGES = 3
MIN_TSNE, MAX_TSNE = 30, 2_000  # images
PERPLEXITY = 30.0
SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Feature vectors of rows; unreadable images are left out and listed."""

    rows: tuple[Row, ...]
    values: Floats  # (N, D)
    space: str  # with the hash of its weights, if it has weights
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """A point for each row."""

    points: Floats  # (N, 2)
    axes: tuple[str, str]
    method: str


def extract(rows: Sequence[Row], encoders: Path) -> Features:
    """Features of rows by the reference encoder that fits them, or by radiomics where there is none.

    Raises:
        StudioError: fewer than three readable images.
    """
    images = from_rows(rows, SIZE, "dataset")
    if len(images) < MIN_IMAGES:
        raise StudioError(f"A map needs {MIN_IMAGES} readable images or more, not {len(images)}.")
    try:
        folder = fitting_encoder(encoders, rows)
        return _radiomics(images, ()) if folder is None else _encoded(images, folder)
    except StudioError as error:
        return _radiomics(images, (f"The reference encoder cannot be used. {error}",))


def embed(features: Features, method: str) -> Embedding:
    """Features in two dimensions by one of METHODS; deterministic.

    Raises:
        StudioError: an unknown method, or too few or too many images for it.
    """
    if method == "PCA":
        return _principal(features.values)
    if method != "t-SNE":
        raise StudioError(f"The map is drawn by {' or '.join(METHODS)}, not {method!r}.")
    if not allows_tsne(len(features.rows)):
        raise StudioError(f"t-SNE takes {MIN_TSNE} to {MAX_TSNE:,} images, not {len(features.rows):,}.")
    return _neighbors(features.values)


def allows_tsne(n: int) -> bool:
    """Whether t-SNE makes sense for so many images and takes at most about a minute."""
    return MIN_TSNE <= n <= MAX_TSNE


def _encoded(images: ImageSet, folder: Path) -> Features:
    from xray_generator.devices import set_threads  # imports torch
    from xray_generator.reference_encoder.model import load_reference_encoder

    set_threads()
    encoder = load_reference_encoder(folder)
    return Features(images.rows, encoder(images.images), encoder.name, images.skipped)


def _radiomics(images: ImageSet, notes: tuple[str, ...]) -> Features:
    from xray_generator.evaluation.features import Radiomics

    space = Radiomics.of(images.images)
    return Features(images.rows, space(images.images), space.name, images.skipped, notes)


def _principal(values: Floats) -> Embedding:
    from sklearn.decomposition import PCA

    pca = PCA(2, svd_solver="full")
    with np.errstate(invalid="ignore"):  # the shares of no variance at all
        points = pca.fit_transform(values)
    first, second = (
        f"component {i} ({share:.0%} of variance)"
        for i, share in enumerate(np.nan_to_num(pca.explained_variance_ratio_), 1)
    )
    return Embedding(points, (first, second), "PCA")


def _neighbors(values: Floats) -> Embedding:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    perplexity = min(PERPLEXITY, (len(values) - 1) / 3)
    with threadpool_limits(1):  # more threads block each other: fifteen times as slow on two busy cores
        points = TSNE(2, perplexity=perplexity, init="pca", random_state=SEED).fit_transform(values)
    return Embedding(np.asarray(points, np.float64), ("t-SNE 1", "t-SNE 2"), "t-SNE")
