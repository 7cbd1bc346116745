"""The training images of a generator, reduced to what a search for copies needs and cached on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from xray_generator.data.rows import Row
from xray_generator.evaluation.features import Extractor
from xray_generator.evaluation.image_sets import from_rows
from xray_generator.evaluation.pixel_match import Thumbnails, thumbnails
from xray_generator.types import StudioError

READ_AT_ONCE = 256  # images in memory at a time


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """The training images of a generator, as thumbnails and features."""

    rows: tuple[Row, ...]  # the readable ones, N
    thumbnails: Thumbnails  # (N, 64, 64)
    features: NDArray[np.float64]  # (N, D)

    @property
    def turns(self) -> int:
        """Quarter turns to search: 4 for images with classes, which may be augmented by rotation; otherwise 1."""
        return 4 if any(row.label for row in self.rows) else 1


def read_training(rows: Sequence[Row], size: int, extractor: Extractor, cache: Path) -> TrainingSet:
    """Thumbnails and features of training images, computed once and kept in `cache`, without unreadable images."""
    cache.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in tqdm(range(0, len(rows), READ_AT_ONCE), desc="training images", unit="batch", disable=None):
        parts.append(_read_part(tuple(rows[start : start + READ_AT_ONCE]), size, extractor, cache))  # noqa: PERF401
    if not parts:
        raise StudioError("There are no training images to search for copies.")
    return TrainingSet(
        tuple(row for part in parts for row in part.rows),
        np.concatenate([part.thumbnails for part in parts]),
        np.concatenate([part.features for part in parts]),
    )


def _read_part(rows: tuple[Row, ...], size: int, extractor: Extractor, cache: Path) -> TrainingSet:
    states = [(row.path, row.path.stat()) for row in rows if row.path.is_file()]
    facts = f"{extractor.name}|{size}|" + "|".join(f"{p.name}:{s.st_size}:{s.st_mtime_ns}" for p, s in states)
    key = hashlib.sha256(facts.encode() + _probe(extractor, size))
    path = cache / f"training-{key.hexdigest()[:16]}.npz"
    if not path.is_file():
        images = from_rows(rows, size, "training")
        kept = {row.path: True for row in images.rows}
        staged = path.with_suffix(".tmp")
        with staged.open("wb") as file:
            np.savez(
                file,
                kept=np.array([row.path in kept for row in rows]),
                thumbnails=thumbnails(images.images),
                features=extractor(images.images),
            )
        staged.replace(path)
    with np.load(path, allow_pickle=False) as stored:
        chosen = tuple(row for row, is_kept in zip(rows, stored["kept"], strict=True) if is_kept)
        return TrainingSet(chosen, stored["thumbnails"], stored["features"])


def _probe(extractor: Extractor, size: int) -> bytes:
    """The features of a fixed image: spaces of one name may be scaled by different real images."""
    ramp = np.add.outer(np.linspace(0, 0.5, size), np.linspace(0, 0.5, size)).astype(np.float32)
    return np.round(extractor(ramp[None]), 3).tobytes()
