"""What a set is to hold: cells of equal images and their numbers, and what image i of them is.

Image i depends on the plan, the weights and i alone: its condition, its seeds, its split and its file. So any number
of processes that share out the numbers make the same files, and whoever starts again knows what is there.
"""

from __future__ import annotations

import bisect
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

from xray_generator.checkpoints import Manifest, check_name
from xray_generator.config import check_ranges, dump, override, parse
from xray_generator.data.prompts import row_of_prompt
from xray_generator.data.rows import AGE_GROUPS, Row, Split
from xray_generator.data.tables import read_table
from xray_generator.data.vocabulary import Vocabulary, compose_prompt
from xray_generator.devices import GOLDEN
from xray_generator.registry import reads_prompts
from xray_generator.requests import check_condition, make_request
from xray_generator.types import MAX_SEED, ClassLabel, Condition, GenerationRequest, StudioError, TextPrompt

MAX_PLANNED = 10_000_000  # images of a plan
MAX_ATTEMPTS = 100
WITH_YEARS = ("adult", "older_adult")  # captions name these age groups by years alone; with a sex, the younger ones too
IMAGES, LEFT_OUT = "images", "left_out"  # folders of a set

Check = Literal["require", "mark", "off"]  # an image that fails is drawn again; is only marked; nobody looks


@dataclass(frozen=True, slots=True)
class Cell:
    """Some images of one condition: a class, a prompt, or facts that are put into the words of the captions."""

    count: int = 1
    label: str = ""
    prompt: str = ""
    findings: tuple[str, ...] = ()
    view: str = ""
    age_group: Literal["child", "adolescent", "adult", "older_adult", ""] = ""
    sex: Literal["M", "F", ""] = ""
    real: int | None = None  # how many real images there are; None: not counted

    def __post_init__(self) -> None:
        check_ranges(self, {"count": (0, MAX_PLANNED), "real": (0, MAX_PLANNED)})
        ways = (self.label, self.prompt, self.findings or self.view or self.age_group or self.sex)
        if sum(map(bool, ways)) != 1:
            raise StudioError("A cell of a plan is a label, a prompt, or facts (findings, view, age_group, sex).")

    @property
    def title(self) -> str:
        """What its images are to show, in words."""
        facts = (" and ".join(self.findings), self.view, self.age_group, self.sex)
        return self.label or self.prompt or ", ".join(filter(None, facts)).replace("_", " ")


@dataclass(frozen=True, slots=True)
class Gate:
    """When an image is drawn again, with another seed; after the last attempt it is left out of the set."""

    agrees: Check = "require"  # the reference classifier sees what was asked for
    is_no_copy: Check = "require"  # farther from the training images than 3 % of unseen real images are
    attempts: int = 4

    def __post_init__(self) -> None:
        check_ranges(self, {"attempts": (1, MAX_ATTEMPTS)})


@dataclass(frozen=True, slots=True)
class Splits:
    """The shares of the splits, in each cell alike."""

    train: float = 0.8
    val: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        check_ranges(self, dict.fromkeys(("train", "val", "test"), (0.0, 1.0)))
        if abs(self.train + self.val + self.test - 1) > 1e-6:
            raise StudioError("The shares of the splits must have the sum 1.")

    def pick(self, share: float) -> Split:
        """The split of an image whose place among its like is `share`, from 0 to below 1."""
        return "train" if share < self.train else "val" if share < self.train + self.val else "test"


@dataclass(frozen=True, slots=True)
class Plan:
    """A set before it is made. None: as the checkpoint recommends.

    Raises:
        StudioError: no image, too many, or a value outside its range.
    """

    name: str
    checkpoint: str
    cells: tuple[Cell, ...]
    seed: int = 0
    size: int | None = None
    steps: int | None = None
    guidance: float | None = None
    scheduler: str | None = None
    gate: Gate = field(default_factory=Gate)
    splits: Splits = field(default_factory=Splits)
    license: str = "mit"  # of the set, as Hugging Face names licenses

    def __post_init__(self) -> None:
        check_name(self.name)
        check_ranges(self, {"seed": (0, MAX_SEED)})
        if not 1 <= self.num_images <= MAX_PLANNED:
            raise StudioError(f"A plan asks for 1 to {MAX_PLANNED:,} images, not {self.num_images:,}.")

    @property
    def num_images(self) -> int:
        """Of all cells."""
        return sum(cell.count for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a set before it is made."""

    index: int
    row: Row  # what is asked for: class or prompt, split, and the file in the set

    @property
    def label(self) -> str:
        """Its class, or the findings that its prompt states."""
        return label_of(self.row)

    @property
    def path(self) -> Path:
        """Where it lies in the folder of the set: `images/<split>/<label>/<index>.png`."""
        return self.row.path

    @property
    def left_out(self) -> Path:
        """Where it lies if it passed in none of the attempts."""
        return Path(LEFT_OUT, self.path.name)


@lru_cache(maxsize=4_096)
def _read_prompt(prompt: str) -> Row:
    """`row_of_prompt`, which takes long, once for each of the few prompts of a plan."""
    return row_of_prompt(prompt)


def label_of(row: Row) -> str:
    """The class of a row, or its findings joined by "-": the name of its folder."""
    return row.label or "-".join(row.findings) or "no_label"


@dataclass(frozen=True)
class Series:
    """The images of a plan, drawn by the checkpoint that it names.

    Raises:
        StudioError: the checkpoint cannot draw a cell of the plan.
    """

    plan: Plan
    manifest: Manifest

    def __post_init__(self) -> None:
        for cell, row in self.kinds():
            check_condition(self.manifest, self._condition(row))
            self._check_words(cell, row)

    def __len__(self) -> int:
        return self.plan.num_images

    def kinds(self) -> Iterator[tuple[Cell, Row]]:
        """Each cell with what it asks for, as its first image has it: of one that asks for none, as it would have."""
        for cell, end in zip(self.plan.cells, self._ends, strict=True):
            yield cell, self._ask(cell, end - cell.count)

    @property
    def key(self) -> str:
        """Twelve hex digits of a hash of plan and weights."""
        return self._digest.hex()[:12]

    @property
    def size(self) -> int:
        """Pixels a side."""
        return self.plan.size or self.manifest.sizes[0]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Of all images, in alphabetical order."""
        return tuple(sorted({label_of(row) for cell, row in self.kinds() if cell.count}))

    def item(self, index: int) -> Item:
        """Image `index`, from 0."""
        place = bisect.bisect_right(self._ends, index)
        cell = self.plan.cells[place]
        inside = index - (self._ends[place] - cell.count)  # evenly spread over the splits, from the first image on
        split = self.plan.splits.pick(inside * GOLDEN % 2**32 / 2**32)
        row = self._ask(cell, index)
        path = Path(IMAGES, split, label_of(row), f"{index:08d}.png")
        return Item(index, replace(row, path=path, split=split, source="synthetic"))

    def _ask(self, cell: Cell, index: int) -> Row:
        """What image `index` of a cell is to show."""
        if cell.label:
            return Row(Path(), "", (), label=cell.label)
        return _read_prompt(cell.prompt or self._compose(cell, index))

    def request(self, item: Item, attempt: int) -> GenerationRequest:
        """The request for an attempt at an image; no two of a plan share a seed."""
        plan, number = self.plan, item.index * self.plan.gate.attempts + attempt
        return make_request(
            self._condition(item.row),
            seed=(self._offset + number) % MAX_SEED,
            size=self.size,
            steps=plan.steps,
            guidance=plan.guidance,
            scheduler=plan.scheduler,
        )

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(cell.count for cell in self.plan.cells))

    @cached_property
    def _digest(self) -> bytes:
        text = json.dumps([dump(self.plan), self.manifest.ref.sha256], sort_keys=True)
        return hashlib.sha256(text.encode()).digest()

    @cached_property
    def _offset(self) -> int:
        """Of the seeds, so that two plans seldom share any: an image in both sets would be in train and in test."""
        return int.from_bytes(self._digest[:4])

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return parse(Vocabulary, self.manifest.vocabulary)

    @staticmethod
    def _condition(row: Row) -> Condition:
        return ClassLabel(row.label) if row.label else TextPrompt(row.prompt)

    def _compose(self, cell: Cell, index: int) -> str:
        if not reads_prompts(self.manifest):
            raise StudioError(f"{self.manifest.name} draws classes: give each cell of the plan a label.")
        needs_years = cell.age_group in WITH_YEARS or (cell.age_group and cell.sex)
        age = self._age(cell.age_group, index) if needs_years else None
        return compose_prompt(cell.view, age, cell.sex, cell.findings, self._vocabulary, cell.age_group)

    def _age(self, group: str, index: int) -> int | None:
        """Years of a group that the captions know, another for each image; None where they know none."""
        known = self._vocabulary
        if known.min_age is None or known.max_age is None:
            return None
        low, high = max(AGE_GROUPS[group][0], known.min_age), min(AGE_GROUPS[group][1], known.max_age)
        chance = hashlib.sha256(self._digest + index.to_bytes(8)).digest()
        return low + int.from_bytes(chance[:8]) % (high - low + 1) if low <= high else None

    def _check_words(self, cell: Cell, row: Row) -> None:
        """A fact that the captions have no words for would silently be left open."""
        asked = {"view": cell.view, "age group": cell.age_group, "sex": cell.sex}
        stated = {"view": row.view, "age group": row.age_group, "sex": row.sex}
        for name, value in asked.items():
            if value and stated[name] != value:
                raise StudioError(
                    f"The captions of {self.manifest.name} have no words for the {name} {value!r} in {cell.title!r}: "
                    f"the prompt would be {row.prompt!r}."
                )
        if missing := set(cell.findings) - set(row.findings):
            raise StudioError(f"The prompt {row.prompt!r} does not state the finding {min(missing)!r}.")


def read_plan(path: Path, assignments: Sequence[str] = ()) -> Plan:
    """A plan from JSON, or from a CSV of prompts or classes, with `a.b=value` assignments.

    The columns of a CSV are `prompt` or `label`, and `count` where it is not 1.

    Raises:
        StudioError: the file cannot be read, or a value is missing, unknown or wrong.
    """
    data = override(_read_csv(path) if path.suffix.lower() == ".csv" else _read_json(path), assignments)
    if "checkpoint" not in data:
        raise StudioError("The plan names no checkpoint. Add checkpoint=NAME at the end of the line.")
    return parse(Plan, data)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it is no JSON: {error}"
        raise StudioError(f"The plan {path.name} cannot be read: {reason}.") from None
    if not isinstance(data, dict):
        raise StudioError(f"The plan {path.name} must be a JSON object.")
    return data


def _read_csv(path: Path) -> dict[str, Any]:
    cells = []
    for line in read_table(path, ()):
        prompt, label = line.text("prompt"), line.text("label")
        if bool(prompt) == bool(label):
            raise line.error("a line needs a prompt or a label, in a column of that name, and not both.")
        count = line.integer("count")
        cells.append({"prompt": prompt, "label": label, "count": 1 if count is None else count})
    return {"name": path.stem.lower(), "cells": cells}
