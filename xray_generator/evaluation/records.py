"""The record of one evaluation: every number with its data, its interval and the same number of real images."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from xray_generator.config import dump, parse
from xray_generator.types import CheckpointRef, StudioError

SUFFIX = ".record.json"
OLD_TABLES = {"levers": "ablations"}  # names in older records -> names now
FLAT_LIST = re.compile(r"\[\n[-+.\deE\snul,]*\]")  # of numbers and nulls: written on one line
Direction = Literal["higher", "lower", "real", "chance"]  # which values are better; chance: a control


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number, or the reason why there is none."""

    measure: str  # a key of `measures.MEASURES`
    value: float | None
    n: int = 0  # generated images, or pairs
    interval: tuple[float, float] | None = None  # 95 %, bootstrap
    real: float | None = None  # the same measure of real images, for comparison
    real_n: int = 0
    condition: str = ""  # a class, finding, view, sex or age group; "": all images
    split: str = ""  # of the real images
    extractor: str = ""  # the feature space or classifier
    settings: dict[str, Any] = field(default_factory=dict)  # those that differ from the record's: guidance, steps
    reason: str = ""  # why `value` is None

    def __post_init__(self) -> None:
        for number in (self.value, self.real, *(self.interval or ())):
            if number is not None and not math.isfinite(number):
                raise StudioError(f"{self.measure} is {number}; what cannot be computed is None, with a reason.")
        if (self.value is None) != bool(self.reason):
            raise StudioError(f"{self.measure}: a value or the reason why there is none, not both.")


@dataclass(frozen=True, slots=True)
class Curve:
    """The numbers of one figure: named lines of y over x."""

    title: str
    x_label: str
    y_label: str
    x: tuple[float, ...]
    lines: dict[str, tuple[float | None, ...]]


@dataclass(frozen=True, slots=True)
class Record:
    """All that one run of `python -m xray_generator.evaluate` measured."""

    subject: str  # the checkpoint's name, or the folder's
    suite: str
    created: str  # ISO 8601, UTC
    commit: str  # of the code that measured
    checkpoint: CheckpointRef | None  # None: images of a folder
    settings: dict[str, Any]  # request, seeds, number of images, dataset and its splits, threads, machine
    measurements: tuple[Measurement, ...]
    curves: dict[str, Curve] = field(default_factory=dict)
    tables: dict[str, tuple[dict[str, Any], ...]] = field(default_factory=dict)  # closest pairs, components, ...
    notes: tuple[str, ...] = ()  # what was skipped, and why

    @property
    def name(self) -> str:
        """The name of its file: the latest record of each subject, suite and set of real images is kept."""
        real = (str(self.settings.get(key, "")) for key in ("real", "condition"))
        return "_".join(filter(None, (self.subject, self.suite, *real)))

    def get(self, measure: str, condition: str = "") -> Measurement | None:
        """The first measurement of a name and condition."""
        found = (m for m in self.measurements if m.measure == measure and m.condition == condition)
        return next(found, None)

    def is_stale(self, checkpoints: Sequence[CheckpointRef]) -> bool:
        """Whether the weights it was measured on have been replaced since."""
        return self.checkpoint is not None and self.checkpoint not in checkpoints


def write_record(record: Record, folder: Path) -> Path:
    """Write <folder>/<its name>.record.json in one piece and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record.name}{SUFFIX}"
    staged = path.with_name(f".{path.name}")
    text = json.dumps(dump(record), indent=1, ensure_ascii=False, allow_nan=False)
    staged.write_text(FLAT_LIST.sub(lambda found: " ".join(found[0].split()), text) + "\n", encoding="utf-8")
    staged.replace(path)
    return path


def read_record(path: Path) -> Record:
    """Read one record; StudioError names the file where it is damaged."""
    try:
        data = json.loads(path.read_bytes())
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()  # else it could be neither shown nor written
        record = parse(Record, data)
    except (OSError, ValueError, RecursionError) as error:
        raise StudioError(f"The record {path.name} cannot be read: {error}") from error
    return replace(record, tables={OLD_TABLES.get(name, name): table for name, table in record.tables.items()})
