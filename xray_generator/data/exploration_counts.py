"""What the rows of a dataset hold, in numbers: findings, people, splits, and which findings stand together."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from xray_generator.data.exploration import fact
from xray_generator.data.rows import FINDINGS, Row, finding_name

NOT_KNOWN = "not known"
AGE_BIN = 10  # years


@dataclass(frozen=True, slots=True)
class FindingCount:
    """How many rows state a finding, deny it, or do neither."""

    finding: str
    present: int
    absent: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers under names; None where there is none."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, slots=True)
class Patients:
    """How the images spread over patients; a patient is an id within a source."""

    num_patients: int
    num_without_id: int  # images
    images_each: dict[int, int]  # number of images -> number of patients who have so many
    median: float | None  # images of a patient
    most: int | None
    in_several_splits: int  # patients


def count_findings(rows: Sequence[Row]) -> tuple[FindingCount, ...]:
    """Each finding that some row states or denies, the most frequent first."""
    present = Counter(finding for row in rows for finding in row.findings)
    absent = Counter(finding for row in rows for finding in row.absent)
    found = [
        FindingCount(name, present[name], absent[name], len(rows) - present[name] - absent[name])
        for name in FINDINGS
        if present[name] or absent[name]
    ]
    return tuple(sorted(found, key=lambda count: -count.present))


def count_facts(rows: Sequence[Row], name: str) -> dict[str, int]:
    """How many rows have each value of one of `FACTS`, the most frequent first, what is not known last."""
    counts = Counter(fact(row, name) for row in rows)
    unknown = counts.pop("", 0)
    return dict(counts.most_common()) | ({NOT_KNOWN: unknown} if unknown else {})


def count_ages(rows: Sequence[Row]) -> dict[str, int]:
    """How many rows in each ten years of age, without gaps, and how many without an age."""
    bins = Counter(row.age // AGE_BIN for row in rows if row.age is not None)
    ages = range(min(bins), max(bins) + 1) if bins else range(0)
    counts = {f"{i * AGE_BIN}–{i * AGE_BIN + AGE_BIN - 1}": bins[i] for i in ages}
    unknown = len(rows) - bins.total()
    return counts | ({NOT_KNOWN: unknown} if unknown else {})


def cross_count(rows: Sequence[Row], down: str, across: str) -> Table:
    """How many rows have each pair of values of two of `FACTS`, with the sums in the last column and row."""
    pairs = Counter((fact(row, down) or NOT_KNOWN, fact(row, across) or NOT_KNOWN) for row in rows)
    names, columns = tuple(count_facts(rows, down)), tuple(count_facts(rows, across))
    values = [[pairs[name, column] for column in columns] for name in names]
    values = [[*line, sum(line)] for line in values]
    total = tuple(sum(line[i] for line in values) for i in range(len(columns) + 1))
    return Table((*names, "all"), (*columns, "all"), (*map(tuple, values), total))


def co_occurrence(rows: Sequence[Row], *, share: bool = False) -> Table:
    """How many rows state both findings; with `share`, that over the rows which state the finding of the line.

    `no_finding` stands alone by its meaning and is left out; so is what no row states.
    """
    sets = [frozenset(row.findings) for row in rows]
    single = Counter(finding for findings in sets for finding in findings)
    names = tuple(name for name in FINDINGS if single[name] and name != "no_finding")
    both = Counter((first, second) for findings in sets for first in findings for second in findings)
    values = tuple(
        tuple(both[first, second] / single[first] if share else both[first, second] for second in names)
        for first in names
    )
    words = tuple(map(finding_name, names))
    return Table(words, words, values)


def count_patients(rows: Sequence[Row]) -> Patients:
    """How many patients, and how many images they have."""
    images = Counter((row.source, row.patient_id) for row in rows if row.patient_id)
    splits = {(row.source, row.patient_id, row.split) for row in rows if row.patient_id}
    numbers = Counter(images.values())
    return Patients(
        num_patients=len(images),
        num_without_id=len(rows) - images.total(),
        images_each=dict(sorted(numbers.items())),
        median=float(statistics.median(images.values())) if images else None,
        most=max(images.values(), default=None),
        in_several_splits=sum(count > 1 for count in Counter(key[:2] for key in splits).values()),
    )
