"""Made-up films whose findings are visible patterns, for measures that need images with labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xray_generator.data.rows import Row
from xray_generator.evaluation.image_sets import ImageSet

SIDE = 32


def rows(shows: Sequence[bool], sources: Sequence[str] | str = "nih_chestxray14", finding: str = "mass") -> list[Row]:
    """One patient each, PA films of adults, with the finding or without any."""
    names = [sources] * len(shows) if isinstance(sources, str) else sources
    return [
        Row(
            Path(f"{i}.png"),
            f"PA chest X-ray of an adult, {finding if has else 'no finding'}",
            (finding,) if has else ("no_finding",),
            view="PA",
            age_group="adult",
            patient_id=str(i),
            source=source,
        )
        for i, (has, source) in enumerate(zip(shows, names, strict=True))
    ]


def draw(shows: Sequence[bool], rng: np.random.Generator, clarity: float = 0.3) -> np.ndarray:
    """(N, 32, 32): noise, and a bright square at the left where the finding is."""
    images = rng.normal(0.4, 0.1, (len(shows), SIDE, SIDE))
    images[np.asarray(shows, bool), 8:24, 4:14] += clarity
    return np.clip(images, 0, 1).astype(np.float32)


def films(name: str, shows: Sequence[bool], rng: np.random.Generator, asked: Sequence[Row] | None = None) -> ImageSet:
    """Images that show the finding where `shows`, with rows that say so, or with others."""
    return ImageSet(name, draw(shows, rng), tuple(rows(shows) if asked is None else asked))
