"""Two sets of images for one condition: real films and generated images, chosen openly, so that both can be compared.

Nothing here loads a network or a measure: a page that shows images opens at once. What is left out is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from xray_generator.dashboards.prompts import is_of, similarity
from xray_generator.data.rows import Row, evenly, row_conditions
from xray_generator.evaluation.image_sets import ImageSet, from_rows
from xray_generator.images import read_image, resize_square
from xray_generator.types import Image, StudioError

MIN_SET = 8  # images a side: fewer say nothing of a set
MOST = 256  # images a side: bounds memory and time
UNSEEN, EVERY = "unseen", "all"
SPLITS = MappingProxyType(
    {
        UNSEEN: ("val", "test"),
        "val": ("val",),
        "test": ("test",),
        "train": ("train",),
        EVERY: ("train", "val", "test"),
    }
)
SEEN_NOTE = "Films of the train split are among the real images: the model may have seen them."


@dataclass(frozen=True, slots=True)
class Choice:
    """Real films of one condition before they are read."""

    rows: tuple[Row, ...]
    split: str  # "val+test"
    notes: tuple[str, ...] = ()  # what was left out or added, in sentences


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """Generated and real images of one condition, of one size."""

    generated: ImageSet
    real: ImageSet
    split: str  # of the real images
    condition: str = ""  # "": any
    digest: str = field(init=False)  # of all pixels: the key of everything computed from them

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", f"{self.generated.digest}-{self.real.digest}")  # once: it takes a while

    @property
    def smaller(self) -> int:
        """How many images the smaller set has."""
        return min(len(self.generated), len(self.real))


def choose_real(rows: Sequence[Row], condition: str, split: str, size: int, *, enlarged: bool = False) -> Choice:
    """The films of a condition and a split that are sharp at `size` pixels.

    Args:
        rows: of a dataset.
        condition: a finding, view, sex or age group; "": any.
        split: of `SPLITS`; where the unseen films of a condition are under `MIN_SET`, all are taken, as a note says.
        size: pixels a side; smaller films would be enlarged, and blurred by that.
        enlarged: take smaller films too.
    """
    fitting = [row for row in rows if is_of(row, condition)]
    sharp = [row for row in fitting if enlarged or row.native_size == 0 or row.native_size >= size]
    chosen, notes = _of_split(sharp, split), []
    if split == UNSEEN and len(chosen) < MIN_SET < len(sharp):
        notes.append(f"Only {len(chosen)} unseen films are of this condition, so those of all splits are shown.")
        split, chosen = EVERY, sharp
    if left_out := len(_of_split(fitting, split)) - len(chosen):
        notes.append(f"{left_out:,} films of less than {size} pixels a side are left out: enlarging would blur them.")
    if any(row.split == "train" for row in chosen):
        notes.append(SEEN_NOTE)
    if len(chosen) > MOST:
        notes.append(f"{MOST:,} of {len(chosen):,} films are shown, evenly spread.")
    return Choice(even(chosen, MOST), "+".join(SPLITS[split]), tuple(notes))


def even(rows: Sequence[Row], count: int) -> tuple[Row, ...]:
    """At most `count` rows in the mix of all: evenly over their order by source, findings and view."""
    ordered = sorted(rows, key=lambda row: (row.source, row.findings, row.view, row.sex, row.path.name))
    return evenly(ordered, count)


def read_films(choice: Choice, size: int) -> ImageSet:
    """The films of a choice, `size` pixels a side; what cannot be read is listed in `skipped`."""
    return from_rows(choice.rows, size, f"real, {choice.split}")


def read_sides(generated: Sequence[Row], choice: Choice, condition: str, size: int) -> Sides:
    """The images of a condition, `size` pixels a side; what cannot be read is listed in `skipped` of its side.

    Args:
        generated: rows of generated images, of `prompts.row_of_prompt`; those of other conditions are passed over.
        choice: the real films.
        condition: that the films were chosen for.
        size: pixels a side that all get.
    """
    rows = [row for row in generated if is_of(row, condition)]
    return Sides(from_rows(rows, size, "generated"), read_films(choice, size), choice.split, condition)


def count_conditions(rows: Iterable[Row]) -> dict[str, int]:
    """How many rows are of each condition, by name."""
    counts: dict[str, int] = {}
    for row in rows:
        for name in row_conditions(row):
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


def partners(rows: Sequence[Row], others: Sequence[Row]) -> tuple[int, ...]:
    """For each row the place of the likest of the others; those that have partners already come last."""
    taken = [0] * len(others)
    places = []
    for row in rows:
        best = max(range(len(others)), key=lambda i: (similarity(row, others[i]) - taken[i], -i))
        taken[best] += 1
        places.append(best)
    return tuple(places)


def read_square(path: Path, size: int) -> Image:
    """One image of a file, short side to `size`, center crop; StudioError where it cannot be read."""
    try:
        return resize_square(read_image(path), size)
    except (OSError, StudioError) as error:
        raise StudioError(f"{path.name} cannot be read: {error}") from error


def with_window(image: Image, low: float, high: float) -> Image:
    """The image with the gray levels from `low` to `high` spread over [0, 1]; what lies beyond is black or white."""
    return np.asarray(np.clip((image - low) / (high - low), 0, 1), np.float32)


def small(images: NDArray[np.float32], side: int) -> list[Image]:
    """Images (N, H, W) scaled down to `side` pixels a side, for a sheet; smaller ones stay."""
    return [resize_square(image, side) if min(image.shape) > side else image for image in images]


def blind_pairs(sides: Sides, seed: int) -> tuple[tuple[int, int, bool], ...]:
    """Pairs for a blind test in random order: places of the generated and of the real image, and who stands left.

    Generated images stand beside the real film that fits their prompt best; True: the real one stands left.
    """
    rng = np.random.default_rng(seed)
    pairs = list(enumerate(partners(sides.generated.rows, sides.real.rows))) if sides.smaller else []
    order = rng.permutation(len(pairs))
    return tuple((*pairs[int(i)], bool(rng.integers(2))) for i in order)


def _of_split(rows: Sequence[Row], split: str) -> list[Row]:
    return [row for row in rows if row.split in SPLITS[split]]
