"""Records beside one of them: what differs by more than chance, and what does not.

A difference has an interval of its own, made of those of both values: two overlapping intervals can still differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xray_generator.config import dump
from xray_generator.dashboards.board import FIRST_COLUMNS, Column, column_names, first_columns, headline, shortfall
from xray_generator.dashboards.report import measured_text
from xray_generator.evaluation.records import Measurement, Record
from xray_generator.evaluation.summary import NOT_MEASURED, markdown_table, value_text
from xray_generator.export.files import make_folder, write_file, write_json
from xray_generator.types import NOTICE, CheckpointRef, StudioError

SUFFIX, SUMMARY = ".comparison.json", "comparison.md"
COUNTED = ("parameters", "image_gigaflops", "training_petaflops")  # exact: no interval, whatever n
BY_CLASS = "class_accuracy"
SHOWN = (*FIRST_COLUMNS, BY_CLASS, "peak_memory_mb", *COUNTED)
RULE = (
    "Within chance: the 95 % interval of the difference holds 0. It is made of the intervals of both values (Zou & "
    "Donner 2008, doi:10.1002/sim.3095); of times, of the fastest and the slowest. Of twenty differences about one "
    "lies outside by chance alone. The intervals are over the images, not over trainings: a training from another seed "
    "can differ by more."
)


@dataclass(frozen=True, slots=True)
class Compared:
    """One value of one record, and how much more it is than that of the first record."""

    subject: str
    measured: Measurement
    difference: float | None = None  # None: the first one's own, or one of the two is missing or of another n
    bounds: tuple[float, float] | None = None  # 95 %, of the difference
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several records of the same suite and real images, measure by measure; all are compared with the first."""

    name: str  # of its file, which is that of the first record
    subjects: tuple[str, ...]
    checkpoints: tuple[CheckpointRef | None, ...]
    suite: str
    real: str
    created: str  # of the last record
    rows: tuple[tuple[Compared, ...], ...]  # of a measure, one for each subject
    rule: str = RULE


def compare_records(records: Sequence[Record], labels: Sequence[str] = ()) -> Comparison:
    """Every measure of `SHOWN` that a record has, and class fidelity by class.

    Args:
        records: the first is what the others are compared with.
        labels: their names, where subjects are not unique.

    Raises:
        StudioError: fewer than two records, or of different suites or real images.
    """
    subjects = tuple(labels or (record.subject for record in records))
    groups = {(record.suite, str(record.settings.get("real", ""))) for record in records}
    if len(records) < 2 or len(groups) != 1:
        raise StudioError("A comparison needs two records or more, of one suite and the same real images.")
    ((suite, real),) = groups
    values = [headline(record) for record in records]
    rows = []
    for column in _columns(records):
        found = [value.get(column, _missing(column)) for value in values]
        others = (_beside(subject, m, found[0]) for subject, m in zip(subjects[1:], found[1:], strict=True))
        rows.append((Compared(subjects[0], found[0]), *others))
    checkpoints = tuple(record.checkpoint for record in records)
    last = max(record.created for record in records)
    return Comparison(records[0].name, subjects, checkpoints, suite, real, last, tuple(rows))


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Write <folder>/<its name>.comparison.json, and in words <folder>/<its name>/comparison.md; return the first."""
    make_folder(folder / comparison.name)
    write_file(folder / comparison.name / SUMMARY, describe(comparison).encode())
    return write_json(folder / f"{comparison.name}{SUFFIX}", dump(comparison))


def describe(comparison: Comparison) -> str:
    """The comparison as Markdown."""
    subjects, real = comparison.subjects, comparison.real or "unknown images"
    facts = f"The `{comparison.suite}` suite, real images: {real}; {comparison.created}."
    weights = [
        f"- `{subject}`: " + (f"weights SHA-256 `{ref.sha256[:12]}`" if ref else "images of unknown origin")
        for subject, ref in zip(subjects, comparison.checkpoints, strict=True)
    ]
    title = f"# {subjects[0]} beside {', '.join(subjects[1:])}"
    return "\n\n".join(
        [title, NOTICE, facts, "\n".join(weights), markdown_table(table(comparison)), comparison.rule, ""]
    )


def table(comparison: Comparison) -> tuple[dict[str, str], ...]:
    """A row for each measure: every value with interval, real and n, and the differences from the first in words."""
    names = column_names([_column(row[0].measured) for row in comparison.rows])
    lines = []
    for row in comparison.rows:
        line = {"measure": names[_column(row[0].measured)]}
        for one in row:
            line[one.subject] = _value(one.measured)
            if one is not row[0]:
                line[f"{one.subject} less {row[0].subject}"] = _difference(one)
        lines.append(line)
    return tuple(lines)


def _columns(records: Sequence[Record]) -> list[Column]:
    whole = first_columns(records, SHOWN)
    spaces = {column.extractor for column in whole if column.measure == BY_CLASS}
    by_class = sorted(
        {c for record in records for c in headline(record) if c.measure == BY_CLASS and c.condition},
        key=lambda column: column.condition,
    )
    place = next((i for i, column in enumerate(whole, start=1) if column.measure == BY_CLASS), len(whole))
    return [*whole[:place], *(column for column in by_class if column.extractor in spaces), *whole[place:]]


def _column(m: Measurement) -> Column:
    return Column(m.measure, m.extractor, m.condition)


def _missing(column: Column) -> Measurement:
    reason = "not in this record"
    return Measurement(column.measure, None, condition=column.condition, extractor=column.extractor, reason=reason)


def _beside(subject: str, m: Measurement, first: Measurement) -> Compared:
    if m.value is None or first.value is None:
        return Compared(subject, m, verdict=NOT_MEASURED)
    difference = m.value - first.value
    if m.measure in COUNTED:
        times = f"{m.value / first.value:.3g} times as much" if first.value else ""
        return Compared(subject, m, difference, verdict=times)
    if m.n != first.n:
        return Compared(subject, m, verdict="not compared: other numbers of images")
    spans = _span(m), _span(first)
    if spans[0] is None or spans[1] is None:
        return Compared(subject, m, difference, verdict=f"{_judge(m, first)}, but without an interval")
    bounds = difference_bounds((m.value, spans[0]), (first.value, spans[1]))
    return Compared(
        subject, m, difference, bounds, "within chance" if bounds[0] <= 0 <= bounds[1] else _judge(m, first)
    )


Estimate = tuple[float, tuple[float, float]]  # a value and its interval


def difference_bounds(ours: Estimate, theirs: Estimate) -> tuple[float, float]:
    """The 95 % interval of ours less theirs, from both 95 % intervals: Zou & Donner 2008, eq. 11."""
    (a, (a_low, a_high)), (b, (b_low, b_high)) = ours, theirs
    below, above = math.hypot(a - a_low, b_high - b), math.hypot(a_high - a, b - b_low)
    return a - b - below, a - b + above


def _span(m: Measurement) -> tuple[float, float] | None:
    """The interval of a value, or the range of a time; None without one, or where it claims certainty."""
    low, high = m.interval or (m.settings.get("fastest_ms"), m.settings.get("slowest_ms"))
    return None if low is None or high is None or low == high else (float(low), float(high))


def _judge(m: Measurement, first: Measurement) -> str:
    ours, theirs = shortfall(m), shortfall(first)
    if ours is None or theirs is None:
        return "different"
    return "better" if ours < theirs else "worse" if ours > theirs else "equal"


def _value(m: Measurement) -> str:
    return f"{NOT_MEASURED}: {m.reason}" if m.value is None else f"{measured_text(m)}; n = {m.n:,}"


def _difference(one: Compared) -> str:
    if one.difference is None:
        return one.verdict
    texts = [value_text(one.measured, number) for number in (one.difference, *(one.bounds or ()))]
    span = f" ({texts[1]} to {texts[2]})" if one.bounds else ""
    return f"{texts[0]}{span}: {one.verdict}"
