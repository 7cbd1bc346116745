"""Records as files: every value as CSV, an HTML report that needs no network or script, and a ZIP of one record.

matplotlib is imported only when a report is made.
"""

from __future__ import annotations

import base64
import html
import io
import itertools
import json
import textwrap
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xray_generator.dashboards.board import RULE, Column, Entry, column_names, headline, label_entries, rank
from xray_generator.dashboards.prompts import condition_title
from xray_generator.dashboards.series import STEPS, Point, over_time, ratio_table, spokes, sweep
from xray_generator.data.tables import write_table
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.records import Measurement, Record
from xray_generator.evaluation.summary import (
    BETTER,
    GROUPS,
    NOT_MEASURED,
    REAL,
    SUMMARY,
    known_measure,
    summarize,
    value_text,
)
from xray_generator.types import NOTICE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES_HEIGHT = 2  # inches that slanted names of measures take below a heat map
SWEEPS = ("kernel_distance", "sharpness_ratio")
HEADER = ("Measure", "Of", "Value (95 % interval); real", "n", "Real n", "Split", "Space or classifier", "Settings")
FIELDS: dict[str, Callable[[Entry, Measurement], object]] = {  # column -> its cell
    "subject": lambda entry, _: entry.record.subject,
    "suite": lambda entry, _: entry.record.suite,
    "family": lambda entry, _: entry.record.checkpoint.family if entry.record.checkpoint else "",
    "weights_sha256": lambda entry, _: entry.record.checkpoint.sha256 if entry.record.checkpoint else "",
    "stale": lambda entry, _: "yes" if entry.stale else "no",
    "date": lambda entry, _: entry.record.created,
    "commit": lambda entry, _: entry.record.commit,
    "real_images": lambda entry, _: entry.record.settings.get("real", ""),
    "split": lambda _, m: m.split,
    "measure": lambda _, m: m.measure,
    "title": lambda _, m: known_measure(m).title,
    "better": lambda _, m: BETTER[known_measure(m).direction],
    "condition": lambda _, m: m.condition,
    "extractor": lambda _, m: m.extractor,
    "settings": lambda _, m: json.dumps(m.settings, ensure_ascii=False) if m.settings else "",
    "value": lambda _, m: m.value,
    "unit": lambda _, m: known_measure(m).unit,
    "low_95": lambda _, m: m.interval[0] if m.interval else None,
    "high_95": lambda _, m: m.interval[1] if m.interval else None,
    "n": lambda _, m: m.n,
    "real": lambda _, m: m.real,
    "real_n": lambda _, m: m.real_n,
    "reason": lambda _, m: m.reason,
}
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1a2229; max-width: 1200px; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; margin-top: 1.6em; } small, .muted { color: #5a6570; }
.notice { background: #fff3e0; border-left: 4px solid #D55E00; padding: .6rem .9rem; }
.stale { background: #fdecea; border-left: 4px solid #b3261e; padding: .6rem .9rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border: 1px solid #cfd8df; padding: .3rem .6rem; text-align: left; vertical-align: top; }
th { background: #eef2f5; } figure { display: inline-block; margin: .5rem; max-width: 100%; }
figure img { max-width: 100%; width: 540px; } @media print { .wide { overflow: visible; } }
"""


def to_csv(entries: Sequence[Entry]) -> str:
    """Every value of some records, one a line, with what it was measured on; or why it was not measured."""
    lines = ([cell(entry, m) for cell in FIELDS.values()] for entry in entries for m in entry.record.measurements)
    return write_table(tuple(FIELDS), lines)


def to_html(entries: Sequence[Entry], columns: Sequence[Column], figures: Mapping[str, Figure]) -> str:
    """One HTML page: the chosen columns side by side, ranks, figures, then every value of each record.

    Args:
        entries: comparable records.
        columns: of the first table and the ranks.
        figures: heading -> figure, inlined as PNG.
    """
    labels = label_entries(entries)
    parts = [
        "<h1>Evaluation of image generators</h1>",
        f'<p class="notice">{_safe(NOTICE)}</p>',
        "<h2>Side by side</h2>",
        _comparison(entries, labels, columns),
        "<h2>Ranks</h2>",
        _ranks(entries, labels, columns),
        "<h2>Figures</h2>" if figures else "",
        *(_picture(name, figure) for name, figure in figures.items()),
        *(_record(entry, label) for entry, label in zip(entries, labels, strict=True)),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
    body = "\n".join(filter(None, parts))
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<title>Evaluation</title></head><body>\n{body}\n</body></html>\n'
    )


def make_report(entries: Sequence[Entry], columns: Sequence[Column]) -> str:
    """The HTML report of some records with all its figures; takes some seconds."""
    return to_html(entries, columns, report_figures(entries, columns))


def report_figures(entries: Sequence[Entry], columns: Sequence[Column]) -> dict[str, Figure]:
    """Heading -> figure of each column, of quality against steps and time, of conditions and of ratios to real.

    What no record measured has no figure.
    """
    from xray_generator.evaluation.plots import radar

    records = dict(zip(label_entries(entries), (entry.record for entry in entries), strict=True))
    figures = _bars(records, columns)
    for measure in SWEEPS:
        over_steps = {label: sweep(record, measure, STEPS) for label, record in records.items()}
        timed = {label: over_time(records[label], points) for label, points in over_steps.items()}
        for axis, lines in (("steps", over_steps), ("seconds per image", timed)):
            if any(point.m.value is not None for points in lines.values() for point in points):
                title = MEASURES[measure].title
                figures[f"{title} against {axis}"] = _lines(lines, axis, title)
    for label, record in records.items():
        if table := _conditions(record):
            figures[f"{label}: conditions, as a ratio to real"] = table
        if len(ratios := spokes(record)) >= 3:
            figures[f"{label}: ratio to real"] = radar({textwrap.fill(name, 16): r for name, r in ratios.items()})
    return figures


def stored_figures(entry: Entry, figure_dir: Path) -> dict[str, Path]:
    """Name -> PNG of the figures stored with a record; none if its name would lead out of the folder."""
    if Path(entry.record.name).name != entry.record.name:
        return {}
    return {path.stem: path for path in sorted((figure_dir / entry.record.name).glob("*.png"))}


def zip_record(entry: Entry, figures: Mapping[str, Path]) -> bytes:
    """A ZIP of the record, its summary and its figures; a file that has gone is left out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(SUMMARY, summarize(entry.record))
        files = {entry.path.name: entry.path, **{f"{name}.png": path for name, path in figures.items()}}
        for name, path in files.items():
            if path.is_file():
                archive.write(path, name)
    return buffer.getvalue()


def measured_text(m: Measurement | None) -> str:
    """A value with its interval and the value of real images, in one line."""
    if m is None or m.value is None:
        return NOT_MEASURED
    interval = f" ({interval_text(m)})" if m.interval else ""
    return f"{value_text(m)}{interval}{'' if m.real is None else f'; real {value_text(m, m.real)}'}"


def interval_text(m: Measurement) -> str:
    """The 95 % interval; empty without one."""
    return "" if m.interval is None else f"{value_text(m, m.interval[0])} to {value_text(m, m.interval[1])}"


def settings_text(m: Measurement) -> str:
    """The settings of a value that differ from those of its record, in one line."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in m.settings.items())


def _comparison(entries: Sequence[Entry], labels: Sequence[str], columns: Sequence[Column]) -> str:
    names, values = column_names(columns), [headline(entry.record) for entry in entries]
    rows = [
        (label, *(measured_text(found.get(column)) for column in columns))
        for label, found in zip(labels, values, strict=True)
    ]
    return _table(("", *(names[column] for column in columns)), rows)


def _ranks(entries: Sequence[Entry], labels: Sequence[str], columns: Sequence[Column]) -> str:
    if len(entries) < 2:
        return "<p>Ranks need two records or more.</p>"
    ranking, names = rank([entry.record for entry in entries], columns), column_names(columns)
    rows = [
        (label, "–" if mean is None else f"{mean:.2f}", *(str(found[i] or "–") for found in ranking.by_column.values()))
        for i, (label, mean) in enumerate(zip(labels, ranking.mean, strict=True))
    ]
    header = ("", f"Mean rank ({ranking.num_common} measures)", *(names[column] for column in ranking.by_column))
    return f"{_table(header, rows)}<p><small>{_safe(RULE)} {_safe(ranking.reason)}</small></p>"


def _record(entry: Entry, label: str) -> str:
    record = entry.record
    origin = "images of a folder, origin unknown"
    if record.checkpoint is not None:
        origin = f"checkpoint {record.checkpoint.full_name}, SHA-256 of the weights "
        origin += record.checkpoint.sha256
    facts = ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in record.settings.items())
    parts = [
        f"<h2>{_safe(label)}</h2>",
        f"<p>{_safe(origin)}; measured {_safe(record.created)} with code "
        f"{_safe(record.commit)}. <span class='muted'>{_safe(facts)}</span></p>",
    ]
    if entry.stale:
        parts.append(f'<p class="stale">{_safe(entry.stale)}</p>')
    for group, question in GROUPS.items():
        found = [m for m in record.measurements if known_measure(m).group == group]
        if found:
            parts += [f"<h3>{_safe(question)}</h3>", _table(HEADER, [_cells(m) for m in found])]
    parts += [f"<p>{_safe(note)}</p>" for note in record.notes]
    return "\n".join(parts)


def _cells(m: Measurement) -> tuple[str, ...]:
    text = f"{NOT_MEASURED}: {m.reason}" if m.value is None else measured_text(m)
    return (
        known_measure(m).title,
        condition_title(m.condition, "all"),
        text,
        f"{m.n:,}",
        f"{m.real_n:,}",
        m.split,
        m.extractor,
        settings_text(m),
    )


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    top = "".join(f"<th>{_safe(cell)}</th>" for cell in header)
    lines = "\n".join(f"<tr>{''.join(f'<td>{_safe(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>\n{lines}\n</tbody></table></div>'


def _picture(name: str, figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    source = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<figure><figcaption>{_safe(name)}</figcaption><img alt="{_safe(name)}" '
        f'src="data:image/png;base64,{source}"></figure>'
    )


def _safe(text: object) -> str:
    return html.escape(str(text))


def _bars(records: Mapping[str, Record], columns: Sequence[Column]) -> dict[str, Figure]:
    from xray_generator.evaluation.plots import bars

    values = {textwrap.fill(label, 16): headline(record) for label, record in records.items()}
    figures = {}
    for column, name in column_names(columns).items():
        found = {label: value[column] for label, value in values.items() if column in value}
        if any(m.value is not None for m in found.values()):
            figures[name] = bars(found, known_measure(next(iter(found.values()))).unit or "value")
    return figures


def _lines(lines: Mapping[str, Sequence[Point]], axis: str, title: str) -> Figure:
    """A line for each record, with the 95 % intervals."""
    from matplotlib.figure import Figure

    from xray_generator.evaluation.plots import COLORS

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel=axis, ylabel=title)
    axes.spines[["top", "right"]].set_visible(False)
    colors = itertools.cycle(color for color in COLORS if color != REAL)
    for (name, points), color in zip(lines.items(), colors, strict=False):
        measured = [(p.x, p.m.value, p.m.interval or (p.m.value,) * 2) for p in points if p.m.value is not None]
        x, values, spans = zip(*measured, strict=True) if measured else ((), (), ())
        axes.plot(x, values, marker="o", color=color, label=name)
        axes.vlines(x, [low for low, _ in spans], [high for _, high in spans], color=color)
    axes.legend()
    return figure


def _conditions(record: Record) -> Figure | None:
    from xray_generator.evaluation.plots import heat_map

    table = ratio_table(record)
    if not table.rows:
        return None
    columns = [name.replace(" · ", "\n") for name in column_names(table.columns).values()]
    figure = heat_map([condition_title(name) for name in table.rows], columns, table.values)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + 2, height + NAMES_HEIGHT)
    return figure
