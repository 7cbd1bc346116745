"""Real and generated images of one condition, chosen to be compared; notes say what was left out and why.

Nothing here loads a network or a measure, so that a page that shows images opens at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np

from xray_generator.dashboards.prompts import NO_CLASSES, condition_title, is_alike, is_of, similarity
from xray_generator.data.rows import Row, evenly, row_conditions
from xray_generator.evaluation.image_sets import ImageSet, from_rows
from xray_generator.export.sheet import REAL_NOTICE, SheetRow, encode_sheet
from xray_generator.images import read_image, resize_square
from xray_generator.types import NOTICE, Image, StudioError

MIN_SET = 8  # images on each side for any statistic of a set
MOST = 256  # images on each side: bounds memory and time
SHEET_SIDE, SHEET_IMAGES, SHEET_COLUMNS = 160, 24, 8  # pixels, images of each side, images in a line
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
SEEN_NOTE = "The real images include the train split, which the model may have been trained on."


@dataclass(frozen=True, slots=True)
class Choice:
    """The rows of the real images of a condition, not read yet."""

    rows: tuple[Row, ...]
    split: str  # "val+test"
    notes: tuple[str, ...] = ()  # sentences on what was left out or added


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """Generated and real images of one condition, of one size."""

    generated: ImageSet
    real: ImageSet
    split: str  # of the real images
    condition: str = ""  # "": any
    digest: str = field(init=False)  # of all pixels: the key of everything computed from them

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", f"{self.generated.digest}-{self.real.digest}")  # slow: once

    @property
    def smaller(self) -> int:
        """The number of images of the smaller set."""
        return min(len(self.generated), len(self.real))


def choose_real(rows: Sequence[Row], condition: str, split: str, size: int, *, enlarged: bool = False) -> Choice:
    """The real images of a condition and a split that are at least `size` pixels a side.

    Args:
        rows: of a dataset.
        condition: a finding, view, sex or age group; "": any.
        split: a key of `SPLITS`; with fewer than `MIN_SET` unseen images, all splits are used, and a note says so.
        size: pixels a side; smaller images would be enlarged, which blurs them.
        enlarged: take smaller images too.
    """
    fitting = [row for row in rows if is_of(row, condition)]
    sharp = [row for row in fitting if enlarged or row.native_size == 0 or row.native_size >= size]
    chosen, notes = _of_split(sharp, split), []
    if split == UNSEEN and len(chosen) < MIN_SET < len(sharp):
        notes.append(f"Only {len(chosen)} unseen images have this condition, so those of all splits are shown.")
        split, chosen = EVERY, sharp
    if left_out := len(_of_split(fitting, split)) - len(chosen):
        notes.append(f"{left_out:,} images smaller than {size} pixels are left out: enlarging would blur them.")
    if any(row.split == "train" for row in chosen):
        notes.append(SEEN_NOTE)
    if len(chosen) > MOST:
        notes.append(f"A representative {MOST:,} of {len(chosen):,} real images are used.")
    return Choice(even(chosen, MOST), "+".join(SPLITS[split]), tuple(notes))


def even(rows: Sequence[Row], count: int) -> tuple[Row, ...]:
    """At most `count` rows, evenly spread over the order by source, findings, view and sex."""
    ordered = sorted(rows, key=lambda row: (row.source, row.findings, row.view, row.sex, row.path.name))
    return evenly(ordered, count)


def read_real(choice: Choice, size: int) -> ImageSet:
    """The images of a choice at `size` pixels a side; unreadable ones are listed in `skipped`."""
    return from_rows(choice.rows, size, f"real, {choice.split}")


def read_sides(generated: Sequence[Row], choice: Choice, condition: str, size: int) -> Sides:
    """The images of a condition at `size` pixels a side; unreadable ones are listed in `skipped` of their side.

    Args:
        generated: rows of generated images, of `prompts.row_of_condition`; those of other conditions are left out.
        choice: the real images.
        condition: the one that they were chosen for.
        size: pixels a side.
    """
    rows = [row for row in generated if is_of(row, condition)]
    return Sides(from_rows(rows, size, "generated"), read_real(choice, size), choice.split, condition)


def count_conditions(rows: Iterable[Row]) -> dict[str, int]:
    """The number of rows of each condition, sorted by name."""
    counts: dict[str, int] = {}
    for row in rows:
        for name in row_conditions(row):
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


def partners(rows: Sequence[Row], others: Sequence[Row]) -> tuple[int, ...]:
    """For each row the index of the most similar of the others; each use of one lowers its priority."""
    taken = [0] * len(others)
    places = []
    for row in rows:
        best = max(range(len(others)), key=lambda i: (similarity(row, others[i]) - taken[i], -i))
        taken[best] += 1
        places.append(best)
    return tuple(places)


def read_square(path: Path, size: int) -> Image:
    """The image of a file: short side to `size`, center crop. StudioError if it cannot be read."""
    try:
        return resize_square(read_image(path), size)
    except (OSError, StudioError) as error:
        raise StudioError(f"{path.name} cannot be read: {error}") from error


def with_window(image: Image, low: float, high: float) -> Image:
    """The image with the gray levels from `low` to `high` mapped to [0, 1] and others clipped."""
    return np.asarray(np.clip((image - low) / (high - low), 0, 1), np.float32)


def encode_comparison(sides: Sides, checkpoint_name: str, classes: Mapping[str, str] = NO_CLASSES) -> bytes:
    """Up to SHEET_IMAGES images of each side as one PNG, marked as real or synthetic; `classes`: class -> its title."""
    condition = condition_title(sides.condition, classes=classes)
    labels = (
        f"{REAL_NOTICE} {{}} of {{}} real images, {sides.split} split, {condition}",
        f"{NOTICE} {{}} of {{}} images of {checkpoint_name}, {condition}",
    )
    rows = []
    for label, images in zip(labels, (sides.real.images, sides.generated.images), strict=True):
        shown = images[:SHEET_IMAGES]
        small = [resize_square(image, SHEET_SIDE) if min(image.shape) > SHEET_SIDE else image for image in shown]
        rows.append(SheetRow(label.format(len(shown), len(images)), small))
    return encode_sheet(rows, SHEET_COLUMNS)


def blind_pairs(sides: Sides, seed: int) -> tuple[tuple[int, int, bool], ...]:
    """Pairs for a blind test, in random order: index of the generated image, of the real one, and whether that is left.

    Both are of one condition: the real image meets all that the prompt states, see `prompts.is_alike`, and of several
    the best that was used least is taken. A generated image without such a real one is left out.
    """
    rng = np.random.default_rng(seed)
    taken = [0] * len(sides.real)
    pairs = []
    for place, row in enumerate(sides.generated.rows):
        others = enumerate(sides.real.rows)
        alike = [(similarity(row, other) - taken[i], -i) for i, other in others if is_alike(row, other)]
        if alike:
            best = -max(alike)[1]
            taken[best] += 1
            pairs.append((place, best))
    order = rng.permutation(len(pairs))
    return tuple((*pairs[int(i)], bool(rng.integers(2))) for i in order)


def _of_split(rows: Sequence[Row], split: str) -> list[Row]:
    return [row for row in rows if row.split in SPLITS[split]]
