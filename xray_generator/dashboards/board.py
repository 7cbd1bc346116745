"""All records side by side: which are there, which are comparable, and which measures they share.

A measure in two feature spaces is two columns: numbers of different spaces are never mixed, least of all averaged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from xray_generator.dashboards.prompts import condition_title
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.records import SUFFIX, Measurement, Record, read_record
from xray_generator.evaluation.summary import GROUPS, known_measure
from xray_generator.types import CheckpointRef, StudioError

COMMAND = "python -m xray_generator.evaluate --suite full --real dataset --output_dir outputs/metrics"
SWEPT = ("guidance_scale", "num_inference_steps")  # settings of a measurement that was taken to see their effect
CHECKS = ("copies_found", "false_alarms", "utility_shuffled")  # they check the test, not the model
FIRST_COLUMNS = (
    "sharpness_ratio",
    "spectral_distance",
    "frechet_ratio",
    "kernel_distance",
    "precision",
    "recall",
    "detectability",
    "ms_ssim",
    "copy_rate",
    "utility_ratio",
    "latency_ms",
)
ORDER = {name: place for place, name in enumerate(MEASURES)}
PARTS_OF_DAY = (("day", 86_400), ("hour", 3_600), ("minute", 60))  # seconds


@dataclass(frozen=True, slots=True)
class Entry:
    """A record on the board."""

    path: Path
    record: Record
    stale: str = ""  # why its numbers may not be those of the weights at hand; empty where they are

    @property
    def group(self) -> str:
        """Records of one suite and one set of real images can be compared."""
        real = str(self.record.settings.get("real", "unknown images"))
        return f"{self.record.suite} suite, beside real images of {real}"


@dataclass(frozen=True, slots=True)
class Board:
    """What a folder holds: full suites first, the newest first; and what could not be read."""

    entries: tuple[Entry, ...]
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """What makes two numbers the same measure."""

    measure: str
    extractor: str = ""
    condition: str = ""


def read_board(folder: Path, checkpoints: Sequence[CheckpointRef]) -> Board:
    """Every record of a folder, with the faults of those that cannot be read."""
    entries, faults = [], []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            record = read_record(path)
            entries.append(Entry(path, record, staleness(record, checkpoints)))
        except StudioError as error:
            faults.append(str(error))
    entries.sort(key=lambda entry: entry.record.created, reverse=True)
    entries.sort(key=lambda entry: entry.record.suite != "full")
    return Board(tuple(entries), tuple(faults))


def staleness(record: Record, checkpoints: Sequence[CheckpointRef]) -> str:
    """Why a record may not describe the weights at hand; empty where it does, or where it classifiers a folder."""
    if record.checkpoint is None or not record.is_stale(checkpoints):
        return ""
    judged = record.checkpoint
    if any((ref.family, ref.name) == (judged.family, judged.name) for ref in checkpoints):
        return f"The weights of {judged.name} have changed since: these numbers are of other weights."
    return f"The weights of {judged.name} are not here: these numbers cannot be repeated on this machine."


def label_entries(entries: Sequence[Entry]) -> tuple[str, ...]:
    """A short name for each, with its date and a number where the subject alone does not tell them apart."""
    labels: list[str] = []
    subjects = [entry.record.subject for entry in entries]
    for entry in entries:
        label = entry.record.subject
        if subjects.count(label) > 1:
            label = f"{label}, {entry.record.created[:10]}"
        same = sum(other == label or other.startswith(f"{label} #") for other in labels)
        labels.append(f"{label} #{same + 1}" if same else label)
    return tuple(labels)


def is_headline(m: Measurement, record: Record) -> bool:
    """Whether a number was taken with the record's own settings, and not to see what others do."""
    if "steps" in m.settings:  # a time
        asked = {"steps": "num_inference_steps", "scheduler": "scheduler"}
        return all(
            m.settings.get(name) == record.settings.get(key, m.settings.get(name)) for name, key in asked.items()
        )
    return not any(name in m.settings for name in SWEPT)


def headline(record: Record) -> dict[Column, Measurement]:
    """The numbers of a record with its own settings, over all images and by condition."""
    found: dict[Column, Measurement] = {}
    for m in record.measurements:
        if is_headline(m, record):
            found.setdefault(Column(m.measure, m.extractor, m.condition), m)
    return found


def columns_of(records: Iterable[Record]) -> tuple[Column, ...]:
    """All columns over all images, and those by finding of the measures that have no other; by question, then space."""
    found = [pair for record in records for pair in headline(record).items()]
    whole = {column.measure for column, _ in found if not column.condition}
    kept = dict.fromkeys(c for c, m in found if not c.condition or (c.measure not in whole and m.value is not None))
    return tuple(sorted(kept, key=lambda c: (_place(c), bool(c.condition))))


def first_columns(records: Sequence[Record], measures: Sequence[str] = FIRST_COLUMNS) -> tuple[Column, ...]:
    """Of each measure the first space in which any record has a number: the encoder's, where it is at hand."""
    columns, values = columns_of(records), [headline(record) for record in records]
    chosen = []
    for name in measures:
        same = [c for c in columns if c.measure == name and not c.condition]
        measured = [c for c in same if any(c in v and v[c].value is not None for v in values)]
        chosen += (measured or same)[:1]
    return tuple(chosen)


def space_names(extractors: Iterable[str]) -> dict[str, str]:
    """Full name -> the name without the hash of the weights, where that is still told apart from the others."""
    short = {name: re.sub(r"@[0-9a-f]+", "", name) for name in dict.fromkeys(extractors)}
    names = list(short.values())
    return {full: name if names.count(name) == 1 else full for full, name in short.items()}


def column_names(columns: Sequence[Column]) -> dict[Column, str]:
    """A heading for each: title, and space and condition where there are any."""
    spaces = space_names(c.extractor for c in columns)
    return {
        c: " · ".join(filter(None, (title_of(c), spaces[c.extractor], condition_title(c.condition, ""))))
        for c in columns
    }


def title_of(column: Column) -> str:
    """The measure's title; its key where it is of a later version."""
    return known_measure(Measurement(column.measure, None, reason="only asked for its title")).title


def age(created: str, now: datetime | None = None) -> str:
    """How long ago a time in ISO 8601 was, in words such as "3 days ago"; of UTC where it names no zone."""
    try:
        then = datetime.fromisoformat(created)
    except ValueError:
        return "date unknown"
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    seconds = ((now or datetime.now(UTC)) - then).total_seconds()
    for name, length in PARTS_OF_DAY:
        if (count := int(seconds // length)) > 0:
            return f"{count:,} {name}{'s' * (count > 1)} ago"
    return "just now"


def _place(column: Column) -> tuple[int, int]:
    groups = list(GROUPS)
    group = MEASURES[column.measure].group if column.measure in MEASURES else ""
    place = groups.index(group) if group in groups else len(groups)
    return place, ORDER.get(column.measure, len(ORDER))
