"""Records as files for others: every number as CSV, and a report as one HTML page without network or script."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from xray_generator.dashboards.board import (
    Column,
    Entry,
    column_names,
    headline,
    label_entries,
)
from xray_generator.dashboards.prompts import condition_title
from xray_generator.dashboards.ranks import RULE, rank
from xray_generator.data.tables import write_table
from xray_generator.evaluation.records import Measurement
from xray_generator.evaluation.summary import BETTER, GROUPS, NOT_MEASURED, known_measure, value_text
from xray_generator.types import NOTICE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIELDS = (
    "subject",
    "suite",
    "family",
    "weights_sha256",
    "stale",
    "date",
    "commit",
    "real_images",
    "split",
    "measure",
    "title",
    "better",
    "condition",
    "extractor",
    "settings",
    "value",
    "unit",
    "low_95",
    "high_95",
    "n",
    "real",
    "real_n",
    "reason",
)
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
    """Every number of some records, a line each, with what it was measured on; missing ones with the reason."""
    return write_table(FIELDS, (_line(entry, m) for entry in entries for m in entry.record.measurements))


def to_html(entries: Sequence[Entry], columns: Sequence[Column], figures: Mapping[str, Figure]) -> str:
    """A page of its own: the chosen columns side by side, ranks, figures, then every number of each record.

    Args:
        entries: comparable records.
        columns: of the first table and the ranks.
        figures: heading -> matplotlib figure, inlined as PNG.
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


def measured_text(m: Measurement | None) -> str:
    """A number with its interval and yardstick in one line."""
    if m is None or m.value is None:
        return NOT_MEASURED
    interval = f" ({interval_text(m)})" if m.interval else ""
    return f"{value_text(m)}{interval}{'' if m.real is None else f'; real {value_text(m, m.real)}'}"


def interval_text(m: Measurement) -> str:
    """The ends of the 95 % interval; empty where there is none."""
    return "" if m.interval is None else f"{value_text(m, m.interval[0])} to {value_text(m, m.interval[1])}"


def settings_text(m: Measurement) -> str:
    """What a number was taken with where that differs from the record's, in one line."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in m.settings.items())


def _line(entry: Entry, m: Measurement) -> tuple[object, ...]:
    record, measure = entry.record, known_measure(m)
    low, high = m.interval or (None, None)
    return (
        record.subject,
        record.suite,
        record.checkpoint.family if record.checkpoint else "",
        record.checkpoint.sha256 if record.checkpoint else "",
        "yes" if entry.stale else "no",
        record.created,
        record.commit,
        record.settings.get("real", ""),
        m.split,
        m.measure,
        measure.title,
        BETTER[measure.direction],
        m.condition,
        m.extractor,
        json.dumps(m.settings, ensure_ascii=False) if m.settings else "",
        m.value,
        measure.unit,
        low,
        high,
        m.n,
        m.real,
        m.real_n,
        m.reason,
    )


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
    origin = "images of a folder, of unknown origin"
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


HEADER = ("Measure", "Of", "Value (95 % interval); yardstick", "n", "Real n", "Split", "Space or classifier", "With")


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
