"""The stored records side by side: which can be compared, the columns that they share, and ranks by column.

A measure in two feature spaces is two columns: values of different spaces are never mixed or averaged.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from xray_generator.dashboards.prompts import condition_title
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.records import SUFFIX, Measurement, Record, read_record
from xray_generator.evaluation.summary import GROUPS, count_text, known_measure
from xray_generator.types import CheckpointRef, StudioError

COMMAND = "python -m xray_generator.evaluate --suite full --real dataset --output_dir outputs/metrics"
SWEPT = ("guidance_scale", "num_inference_steps")  # a measurement that names one of these is a point of a sweep
CHECKS = ("copies_found", "false_alarms", "utility_shuffled")  # controls of the tests themselves
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
RATIO = "× real"  # the unit of measures whose best value is 1
RULE = (
    "Rank 1 is best. A measure that should be as in real images is ranked by its distance from their value; of ratios "
    "to real, half counts as far off as double. Ties share the better rank. Only values from equally many images are "
    "ranked, because distances and their ratios to real depend on n. The mean rank is over the measures that all "
    "records have. Confidence intervals are ignored: a difference smaller than their width may be chance."
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored record."""

    path: Path
    record: Record
    stale: str = ""  # why its values may not be those of the installed weights; empty: they are

    @property
    def group(self) -> str:
        """Suite and real images: records that agree in both can be compared."""
        real = str(self.record.settings.get("real", "unknown images"))
        return f"{self.record.suite} suite, real images: {real}"


@dataclass(frozen=True, slots=True)
class Board:
    """The records of a folder, full suites first and then by date, newest first; and why others could not be read.

    Before all others come those of the checkpoint that was asked for, if any.
    """

    entries: tuple[Entry, ...]
    faults: tuple[str, ...] = ()

    def find(self, ref: CheckpointRef) -> Record | None:
        """The best record of a checkpoint: of exactly these weights first, then full suites, then the newest."""
        records = [entry.record for entry in self.entries]
        own = [r for r in records if r.checkpoint and r.checkpoint.full_name == ref.full_name]
        return next((record for record in own if record.checkpoint == ref), own[0] if own else None)


@dataclass(frozen=True, slots=True)
class Column:
    """What two values must share to be comparable."""

    measure: str
    extractor: str = ""
    condition: str = ""


def read_board(folder: Path, checkpoints: Sequence[CheckpointRef], first: CheckpointRef | None = None) -> Board:
    """Read every record of a folder; a damaged one becomes a line of `faults`.

    Args:
        folder: of the records.
        checkpoints: those that are here.
        first: the checkpoint whose records come before all others, that of exactly these weights with the most values
            foremost.
    """
    entries, faults = [], []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            record = read_record(path)
            entries.append(Entry(path, record, staleness(record, checkpoints)))
        except StudioError as error:
            faults.append(str(error))
    entries.sort(key=lambda entry: entry.record.created, reverse=True)
    entries.sort(key=lambda entry: entry.record.suite != "full")
    entries.sort(key=lambda entry: _precedence(entry.record, first))
    return Board(tuple(entries), tuple(faults))


def _precedence(record: Record, first: CheckpointRef | None) -> tuple[int, int]:
    """Small for what comes first: see `read_board`."""
    if first is None or record.checkpoint is None or record.checkpoint.full_name != first.full_name:
        return 2, 0
    return int(record.checkpoint != first), -sum(m.value is not None for m in record.measurements)


def staleness(record: Record, checkpoints: Sequence[CheckpointRef]) -> str:
    """Why a record may not describe the installed weights; empty if it does, or if it scores the images of a folder."""
    if record.checkpoint is None or not record.is_stale(checkpoints):
        return ""
    scored = record.checkpoint
    if any((ref.family, ref.name) == (scored.family, scored.name) for ref in checkpoints):
        day = record.created[:10]
        return (
            f"The weights of {scored.name} have changed since the evaluation of {day}, which describes older weights."
        )
    return f"The weights of {scored.name} are not here, so this evaluation cannot be repeated on this machine."


def label_entries(entries: Sequence[Entry]) -> tuple[str, ...]:
    """A short name for each, with date and number where the subject alone is ambiguous."""
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
    """Whether a value was measured with the record's own settings, and is not a point of a sweep."""
    if "steps" in m.settings:  # a latency
        asked = {"steps": "num_inference_steps", "scheduler": "scheduler"}
        return all(
            m.settings.get(name) == record.settings.get(key, m.settings.get(name)) for name, key in asked.items()
        )
    return not any(name in m.settings for name in SWEPT)


def headline(record: Record) -> dict[Column, Measurement]:
    """The values of a record with its own settings, over all images and by condition."""
    found: dict[Column, Measurement] = {}
    for m in record.measurements:
        if is_headline(m, record):
            found.setdefault(Column(m.measure, m.extractor, m.condition), m)
    return found


def columns_of(records: Iterable[Record]) -> tuple[Column, ...]:
    """Columns over all images, and by condition those of measures that have no other; by question, then space."""
    found = [pair for record in records for pair in headline(record).items()]
    whole = {column.measure for column, _ in found if not column.condition}
    kept = dict.fromkeys(c for c, m in found if not c.condition or (c.measure not in whole and m.value is not None))
    return tuple(sorted(kept, key=lambda c: (_place(c), bool(c.condition))))


def first_columns(records: Sequence[Record], measures: Sequence[str] = FIRST_COLUMNS) -> tuple[Column, ...]:
    """For each measure the first space in which any record has a value: the reference encoder's if there is one."""
    columns, values = columns_of(records), [headline(record) for record in records]
    chosen = []
    for name in measures:
        same = [c for c in columns if c.measure == name and not c.condition]
        measured = [c for c in same if any(c in v and v[c].value is not None for v in values)]
        chosen += (measured or same)[:1]
    return tuple(chosen)


def space_names(extractors: Iterable[str]) -> dict[str, str]:
    """Full name -> the name without the hash of its weights, where that is still unique."""
    short = {name: re.sub(r"@[0-9a-f]+", "", name) for name in dict.fromkeys(extractors)}
    names = list(short.values())
    return {full: name if names.count(name) == 1 else full for full, name in short.items()}


def column_names(columns: Sequence[Column]) -> dict[Column, str]:
    """A heading for each: title, and space and condition if any."""
    spaces = space_names(c.extractor for c in columns)
    return {
        c: " · ".join(filter(None, (title_of(c), spaces[c.extractor], condition_title(c.condition, ""))))
        for c in columns
    }


def title_of(column: Column) -> str:
    """The measure's title; its key if a later version added it."""
    return known_measure(Measurement(column.measure, None, reason="title only")).title


def age(created: str, now: datetime | None = None) -> str:
    """How long ago an ISO 8601 time was, such as "3 days ago"; in UTC if it names no zone."""
    try:
        then = datetime.fromisoformat(created)
    except ValueError:
        return "date unknown"
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    seconds = ((now or datetime.now(UTC)) - then).total_seconds()
    for name, length in PARTS_OF_DAY:
        if (count := int(seconds // length)) > 0:
            return f"{count_text(count, name)} ago"
    return "just now"


def _place(column: Column) -> tuple[int, int]:
    groups = list(GROUPS)
    group = MEASURES[column.measure].group if column.measure in MEASURES else ""
    place = groups.index(group) if group in groups else len(groups)
    return place, ORDER.get(column.measure, len(ORDER))


@dataclass(frozen=True, slots=True)
class Ranking:
    """Ranks of records, in their order; None: not measured, measured with another n, or without a reference."""

    by_column: dict[Column, tuple[int | None, ...]]
    mean: tuple[float | None, ...]
    num_common: int  # columns that all records have, over which the mean is taken
    reason: str = ""  # why measured values have no rank; empty if all have one


def rank(records: Sequence[Record], columns: Sequence[Column]) -> Ranking:
    """Rank records by each column but the controls."""
    values = [headline(record) for record in records]
    by_column: dict[Column, tuple[int | None, ...]] = {}
    unequal: list[Column] = []
    for column in columns:
        if column.measure not in CHECKS:
            measured = [found.get(column) for found in values]
            n = _common_n(measured)
            by_column[column] = _ranks([shortfall(m) if m and m.n == n else None for m in measured])
            unequal += [column] if any(m and m.value is not None and m.n != n for m in measured) else []
    common = [ranks for ranks in by_column.values() if None not in ranks]
    sums = [sum(ranks[i] or 0 for ranks in common) for i in range(len(records))]
    means = tuple(total / len(common) if common else None for total in sums)
    return Ranking(by_column, means, len(common), _reason(unequal))


def shortfall(m: Measurement) -> float | None:
    """How far a value is from the best possible one, for ordering only (less is better); None: unknown."""
    measure = known_measure(m)
    if m.value is None:
        return None
    if measure.direction in ("lower", "higher"):
        return m.value if measure.direction == "lower" else -m.value
    if measure.unit == RATIO:
        return abs(math.log(m.value)) if m.value > 0 else math.inf
    return None if m.real is None else abs(m.value - m.real)


def _common_n(measured: Sequence[Measurement | None]) -> int | None:
    """The most frequent n; None if there are several values and each has an n of its own."""
    counts = Counter(m.n for m in measured if m is not None and m.value is not None)
    n, times = max(counts.items(), key=lambda pair: (pair[1], pair[0]), default=(None, 0))
    return n if times > 1 or len(counts) == 1 else None


def _reason(unequal: Sequence[Column]) -> str:
    names = "; ".join(column_names(unequal).values())
    return f"No rank (–) because the records measured it on different numbers of images: {names}." if names else ""


def _ranks(distances: Sequence[float | None]) -> tuple[int | None, ...]:
    known = [distance for distance in distances if distance is not None]
    return tuple(None if d is None else 1 + sum(other < d for other in known) for d in distances)
