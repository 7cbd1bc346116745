"""The figures of the HTML report: each chosen measure, quality against steps and time, conditions, radars."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from xray_generator.dashboards.board import Column, Entry, column_names, headline, label_entries
from xray_generator.dashboards.prompts import condition_title
from xray_generator.dashboards.report import to_html
from xray_generator.dashboards.series import STEPS, Point, over_time, ratio_table, spokes, sweep
from xray_generator.evaluation.plots import COLORS, bars, heat_map, radar
from xray_generator.evaluation.summary import REAL, known_measure

PALETTE = tuple(color for color in COLORS if color != REAL)
NAMES_HEIGHT = 2  # inches that slanted names of measures take below a heat map
SWEEPS = ("kernel_distance", "sharpness_ratio")


def make_report(entries: Sequence[Entry], columns: Sequence[Column]) -> str:
    """The HTML report of some records with all its figures; takes some seconds."""
    return to_html(entries, columns, report_figures(entries, columns))


def report_figures(entries: Sequence[Entry], columns: Sequence[Column]) -> dict[str, Figure]:
    """Heading -> figure; what no record measured has none."""
    labels = label_entries(entries)
    figures = _bars(entries, labels, columns)
    for measure in SWEEPS:
        over_steps = {label: sweep(entry.record, measure, STEPS) for entry, label in zip(entries, labels, strict=True)}
        timed = {
            label: over_time(entry.record, over_steps[label]) for entry, label in zip(entries, labels, strict=True)
        }
        for axis, lines in (("steps", over_steps), ("milliseconds an image", timed)):
            if any(point.m.value is not None for points in lines.values() for point in points):
                title = known_measure(next(p.m for points in lines.values() for p in points)).title
                figures[f"{title} against {axis}"] = _lines(lines, axis, title)
    for entry, label in zip(entries, labels, strict=True):
        if table := _conditions(entry):
            figures[f"{label}: conditions, as a ratio to real"] = table
        if len(ratios := spokes(entry.record)) >= 3:
            figures[f"{label}: ratio to real"] = radar({textwrap.fill(name, 16): r for name, r in ratios.items()})
    return figures


def _bars(entries: Sequence[Entry], labels: Sequence[str], columns: Sequence[Column]) -> dict[str, Figure]:
    names, values = column_names(columns), [headline(entry.record) for entry in entries]
    figures = {}
    for column in columns:
        found = {textwrap.fill(label, 16): v[column] for label, v in zip(labels, values, strict=True) if column in v}
        if any(m.value is not None for m in found.values()):
            figures[names[column]] = bars(found, known_measure(next(iter(found.values()))).unit or "value")
    return figures


def _lines(lines: Mapping[str, Sequence[Point]], axis: str, title: str) -> Figure:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel=axis, ylabel=title)
    axes.spines[["top", "right"]].set_visible(False)
    for place, (name, points) in enumerate(lines.items()):
        color = PALETTE[place % len(PALETTE)]
        measured = [(p.x, p.m) for p in points if p.m.value is not None]
        axes.plot([x for x, _ in measured], [m.value or 0.0 for _, m in measured], marker="o", color=color, label=name)
        spans = [(x, *m.interval) for x, m in measured if m.interval]
        axes.vlines([x for x, *_ in spans], [low for _, low, _ in spans], [high for *_, high in spans], color=color)
    axes.legend()
    return figure


def _conditions(entry: Entry) -> Figure | None:
    """Conditions over measures of one record, as ratios to real."""
    table = ratio_table(entry.record)
    if not table.rows:
        return None
    names = column_names(table.columns)
    columns = [names[column].replace(" · ", "\n") for column in table.columns]
    figure = heat_map([condition_title(name) for name in table.rows], columns, table.values)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + 2, height + NAMES_HEIGHT)
    return figure
