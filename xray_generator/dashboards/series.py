"""The series behind the figures of records: sweeps over steps and time, conditions, and ratios to real images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xray_generator.dashboards.board import CHECKS, RATIO, Column, first_columns, headline, is_headline, space_names
from xray_generator.dashboards.prompts import NO_CLASSES, condition_title
from xray_generator.evaluation.records import Measurement, Record
from xray_generator.evaluation.summary import known_measure

STEPS = "num_inference_steps"
SPOKES = (
    "sharpness",
    "contrast",
    "brightness",
    "entropy",
    "snr",
    "precision",
    "density",
    "recall",
    "coverage",
    "ms_ssim",
    "authenticity",
    "nearest_distance_ratio",
)


@dataclass(frozen=True, slots=True)
class Point:
    """A measurement and its place on the x axis."""

    x: float  # steps, guidance, or seconds
    m: Measurement


def sweep(record: Record, measure: str, setting: str) -> tuple[Point, ...]:
    """A measure over a setting, in the first space that has a value, sorted by the setting.

    Without a sweep of the steps it is one point, at the record's own settings.
    """
    found = [
        Point(x, m)
        for m in record.measurements
        if m.measure == measure and not m.condition and (x := _number(m.settings.get(setting))) is not None
    ]
    if not found and setting == STEPS and (own := _number(record.settings.get(STEPS))) is not None:
        found = [Point(own, headline(record)[column]) for column in first_columns([record], [measure])]
    space = next((point.m.extractor for point in found if point.m.value is not None), "")
    return tuple(sorted((p for p in found if p.m.extractor == space), key=lambda point: point.x))


def over_time(record: Record, points: Sequence[Point]) -> tuple[Point, ...]:
    """Points over steps, placed at the seconds that so many steps take; steps without a latency are left out."""
    scheduler = record.settings.get("scheduler")
    times = {
        _number(m.settings.get("steps")): m.value / 1_000
        for m in record.measurements
        if m.measure == "latency_ms" and m.settings.get("scheduler", scheduler) == scheduler and m.value is not None
    }
    return tuple(Point(times[point.x], point.m) for point in points if point.x in times)


def conditions_of(records: Sequence[Record]) -> dict[Column, dict[str, tuple[Measurement | None, ...]]]:
    """Column -> condition -> the measurement of each record; only rows in which any record has a value."""
    table: dict[Column, dict[str, list[Measurement | None]]] = {}
    for place, record in enumerate(records):
        for m in record.measurements:
            if m.condition and m.measure not in CHECKS and is_headline(m, record):
                rows = table.setdefault(Column(m.measure, m.extractor), {})
                rows.setdefault(m.condition, [None] * len(records))[place] = m
    return {
        column: dict(sorted(kept.items()))
        for column, rows in table.items()
        if (kept := {name: tuple(row) for name, row in rows.items() if any(m and m.value is not None for m in row)})
    }


def by_space(record: Record, measure: str) -> dict[str, Measurement]:
    """Short name of each feature space -> the measure over all images in it; the encoder's first."""
    found = {c.extractor: m for c, m in headline(record).items() if c.measure == measure and not c.condition}
    return {short: found[full] for full, short in space_names(found).items()}


def in_conditions(record: Record, measure: str, classes: Mapping[str, str] = NO_CLASSES) -> dict[str, Measurement]:
    """Title of each condition -> the measure with the record's own settings, where it has a value.

    `classes`: class -> its title.
    """
    return {
        condition_title(c.condition, classes=classes): m
        for c, m in sorted(headline(record).items(), key=lambda pair: pair[0].condition)
        if c.measure == measure and c.condition and m.value is not None
    }


def ratio_to_real(m: Measurement) -> float | None:
    """The value divided by that of real images; None without one, and for distances, which are 0 for real images."""
    measure = known_measure(m)
    if measure.unit == RATIO:
        return m.value
    if m.value is None or m.real is None or m.real <= 0 or measure.direction == "lower":
        return None
    return m.value / m.real


@dataclass(frozen=True, slots=True)
class RatioTable:
    """Conditions (rows) by measures (columns) of one record, as ratios to real images; None: no ratio."""

    rows: tuple[str, ...]
    columns: tuple[Column, ...]
    values: tuple[tuple[float | None, ...], ...]


def ratio_table(record: Record) -> RatioTable:
    """All conditions of a record by all measures that have a ratio to real; empty if none has."""
    found = {
        column: {name: ratio_to_real(m) for name, (m, *_) in rows.items() if m is not None}
        for column, rows in conditions_of([record]).items()
    }
    columns = tuple(c for c, ratios in found.items() if any(ratio is not None for ratio in ratios.values()))
    rows = tuple(sorted({name for c in columns for name, ratio in found[c].items() if ratio is not None}))
    return RatioTable(rows, columns, tuple(tuple(found[c].get(name) for c in columns) for name in rows))


def spokes(record: Record) -> dict[str, float | None]:
    """Title -> ratio to real of the measures that are best as in real images, each in its first space."""
    found = headline(record)
    chosen = {column.measure: found[column] for column in first_columns([record], SPOKES)}
    return {known_measure(m).title: ratio_to_real(m) for m in chosen.values()}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
