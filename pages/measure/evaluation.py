"""Evaluation: the stored records of all checkpoints side by side: values, ranks, figures, export."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from pages.kit.charts import GENERATED, OTHERS, REAL, Number, draw, heat_map, radar
from pages.kit.services import escape_markdown, explain_faults, studio
from pages.measure.records import load_board
from xray_generator.dashboards.board import (
    RULE,
    Board,
    Column,
    Entry,
    age,
    column_names,
    columns_of,
    first_columns,
    headline,
    label_entries,
    rank,
)
from xray_generator.dashboards.comparison import SUMMARY, compare_records, describe, table
from xray_generator.dashboards.prompts import condition_title
from xray_generator.dashboards.report import interval_text, make_report, to_csv
from xray_generator.dashboards.series import STEPS, Point, conditions_of, over_time, ratio_table, spokes, sweep
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.records import Measurement, Record
from xray_generator.evaluation.summary import BETTER, NOT_MEASURED, known_measure, value_text

UNMEASURED = NOT_MEASURED.capitalize()
MILLISECONDS = "ms"  # the unit of stored times


@explain_faults()
def main() -> None:
    """Draw the page."""
    st.caption("Which model is better? Only runs of the same test and data can be compared.")
    board = load_board()
    if board.entries:
        _draw_board(board)


def _draw_board(board: Board) -> None:
    entries, columns = _choose(board)
    if not columns:
        st.info("Choose a measure.")
        return
    for entry in entries:
        if entry.stale:
            st.warning(escape_markdown(entry.stale))
    if len({entry.record.settings.get("num_images") for entry in entries}) > 1:
        st.caption(
            "The records have different numbers of images. With more images, distances fall and ratios to real grow, "
            "so only values of equal n are ranked."
        )
    values = [headline(entry.record) for entry in entries]
    known = [column for column in columns if any((m := found.get(column)) and m.value is not None for found in values)]
    if known:
        _draw_comparison(entries, known)
    if lacking := [name for column, name in column_names(columns).items() if column not in known]:
        st.caption(escape_markdown(f"{UNMEASURED} in any of these records: {'; '.join(lacking)}."))
    _draw_export(entries, columns)
    if len(entries) > 1 and known:
        st.subheader("Ranks", anchor=False)
        _draw_ranks(entries, known)
    else:
        st.caption("Ranks need two or more records.")
    tabs = {
        "Steps and time": _draw_sweeps,
        "Differences": _draw_differences,
        "Conditions": _draw_conditions,
        "Radar": _draw_radars,
    }
    for draw_tab, tab in zip(tabs.values(), st.tabs(list(tabs), key="board_tab", on_change="rerun"), strict=True):
        with tab:
            if tab.open:
                draw_tab(entries)


def _choose(board: Board) -> tuple[Sequence[Entry], Sequence[Column]]:
    """Draw the choice of comparable records and of measures; return both."""
    group = _pick("Suite and real images", list(dict.fromkeys(entry.group for entry in board.entries)), "board_group")
    entries = [entry for entry in board.entries if entry.group == group]
    records = [entry.record for entry in entries]
    columns = {name: column for column, name in column_names(columns_of(records)).items()}
    first, key = set(first_columns(records)), f"board_columns {group}"
    kept = st.session_state.get(key, [name for name, column in columns.items() if column in first])
    st.session_state[key] = [name for name in kept if name in columns]  # a record may have been deleted
    chosen = st.multiselect(
        "Measures",
        list(columns),
        key=key,
        persist_state="session",
        help="The same measure in another feature space is another measure. The reference encoder's space comes first.",
    )
    return entries, [columns[name] for name in chosen]


def _pick(label: str, options: Sequence[str], key: str) -> str:
    if st.session_state.get(key) not in options:
        st.session_state.pop(key, None)
    return str(st.selectbox(label, options, key=key, persist_state="session"))


# Tables


def _draw_comparison(entries: Sequence[Entry], columns: Sequence[Column]) -> None:
    """Draw a row for each record: the value of each column, and its interval, reference and n."""
    values = [headline(entry.record) for entry in entries]
    table: dict[str, Sequence[Any]] = {"Record": label_entries(entries)}
    config: dict[str, Any] = {"Record": st.column_config.TextColumn(pinned=True)}
    for column, name in column_names(columns).items():
        found = [value.get(column) for value in values]
        known = [value for m in found if (value := _value(m)) is not None]
        table[name] = [_value(m) for m in found]
        table[f"{name}, basis"] = [_basis(m) for m in found]
        number = "%,.0f" if max(map(abs, known), default=0) >= 1_000 else "%.3g"
        config[name] = st.column_config.NumberColumn(name, help=_help(column), format=number)
        config[f"{name}, basis"] = st.column_config.TextColumn("interval; real; n", width="medium")
    table |= _origins(entries)
    st.dataframe(table, column_config=config, hide_index=True, width="stretch", key="board_table", placeholder="–")


def _draw_ranks(entries: Sequence[Entry], columns: Sequence[Column]) -> None:
    """Draw a row for each record: its rank in each column, and the mean over the columns that all have."""
    ranking, names = rank([entry.record for entry in entries], columns), column_names(columns)
    mean = f"Mean rank, {ranking.num_common} measures"
    table: dict[str, Sequence[Any]] = {
        "Record": label_entries(entries),
        **({mean: ranking.mean} if ranking.num_common else {}),
        **{names[column]: ranks for column, ranks in ranking.by_column.items() if any(ranks)},
        **_origins(entries),
    }
    config = {mean: st.column_config.NumberColumn(format="%.2f")}
    st.dataframe(table, column_config=config, hide_index=True, width="stretch", key="board_ranks", placeholder="–")
    if ranking.reason:
        st.caption(escape_markdown(ranking.reason))
    st.caption(escape_markdown(RULE))


def _origins(entries: Sequence[Entry]) -> dict[str, list[str]]:
    return {
        "Weights": [
            "unknown origin" if e.record.checkpoint is None else "older weights" if e.stale else "current"
            for e in entries
        ],
        "Measured": [f"{entry.record.created[:10]}, {age(entry.record.created)}" for entry in entries],
    }


def _value(m: Measurement | None) -> float | None:
    """The number in the table: times in seconds."""
    if m is None or m.value is None:
        return None
    return m.value / 1_000 if known_measure(m).unit == MILLISECONDS else m.value


def _basis(m: Measurement | None) -> str:
    if m is None or m.value is None:
        return f"{NOT_MEASURED}: {'not in this record' if m is None else m.reason}"
    real = "" if m.real is None else f"real {value_text(m, m.real)}"
    return "; ".join(filter(None, (interval_text(m), real, f"n = {m.n:,}")))


def _help(column: Column) -> str:
    if column.measure not in MEASURES:
        return ""
    measure = MEASURES[column.measure]
    space = f" Measured by {column.extractor}." if column.extractor else ""
    unit = "seconds" if measure.unit == MILLISECONDS else measure.unit
    unit = f" In {unit}." if unit else ""
    return escape_markdown(f"{measure.help} {BETTER[measure.direction].capitalize()}.{unit}{space}")


def _draw_export(entries: Sequence[Entry], columns: Sequence[Column]) -> None:
    with st.container(horizontal=True):
        st.download_button(
            "All values as CSV",
            partial(to_csv, entries),
            "evaluation.csv",
            "text/csv",
            key="board_csv",
            on_click="ignore",
            help="One line for each value: n, interval, value of real images, split, space, date, weights.",
        )
        st.download_button(
            "Report as HTML",
            partial(make_report, entries, columns),
            "evaluation.html",
            "text/html",
            key="board_html",
            on_click="ignore",
            help="Tables and figures in one file that opens offline. Takes a few seconds.",
        )


# Differences


@st.fragment
def _draw_differences(entries: Sequence[Entry]) -> None:
    """Draw each measure of all records beside that of one of them, and which differences are within chance."""
    if len(entries) < 2:
        st.caption("Differences need two or more records.")
        return
    labels = list(label_entries(entries))
    first = _pick("Compare with", labels, "board_first")
    order = sorted(range(len(entries)), key=lambda place: labels[place] != first)  # the others stay in their order
    comparison = compare_records([entries[place].record for place in order], [labels[place] for place in order])
    rows = table(comparison)
    config = {"measure": st.column_config.TextColumn("Measure", pinned=True)}
    shown = {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
    st.dataframe(shown, column_config=config, hide_index=True, width="stretch", key="board_differences")
    st.caption(escape_markdown(comparison.rule))
    st.download_button(
        "Comparison as Markdown",
        partial(describe, comparison),
        SUMMARY,
        "text/markdown",
        key="board_comparison",
        on_click="ignore",
    )


# Steps and time

SWEEPS = ("kernel_distance", "sharpness_ratio")
AXES = {"steps": "Steps", "time": "Seconds per image", "guidance": "Guidance scale"}
COLORS = (GENERATED, *OTHERS)


@st.fragment
def _draw_sweeps(entries: Sequence[Entry]) -> None:
    """Draw quality over steps, over the time that they take, and over guidance; a line for each record."""
    labels, missing = label_entries(entries), []
    for measure in SWEEPS:
        drawn = {}
        for axis, title in AXES.items():
            series = {label: _points(entry.record, measure, axis) for label, entry in zip(labels, entries, strict=True)}
            if any(point.m.value is not None for points in series.values() for point in points):
                drawn[axis] = _lines(series, title, measure)
            else:
                missing.append(f"{MEASURES[measure].title} over {title.lower()}")
        if drawn:
            st.markdown(f"**{escape_markdown(MEASURES[measure].title)}**", help=escape_markdown(MEASURES[measure].help))
            grid = st.grid(3, min_column_width=300)
            for axis, figure in drawn.items():
                with grid.cell():
                    draw(figure, f"board {measure} {axis}", 300)
    if missing:
        st.caption(escape_markdown(f"{UNMEASURED}: {'; '.join(missing)}. The full suite varies steps and guidance."))
    st.caption(
        "A record without a sweep of the steps is one point, at its own settings. Times depend on the machine that "
        "made the record: compare only times of the same machine. Steps without a time are left out."
    )


def _points(record: Record, measure: str, axis: str) -> tuple[Point, ...]:
    if axis == "guidance":
        return sweep(record, measure, "guidance_scale")
    points = sweep(record, measure, STEPS)
    return points if axis == "steps" else over_time(record, points)


def _lines(series: Mapping[str, Sequence[Point]], title: str, measure: str) -> go.Figure:
    figure = go.Figure()
    for place, (name, points) in enumerate(series.items()):
        found = [(p.x, p.m.value, p.m.interval or (p.m.value,) * 2, p.m.n) for p in points if p.m.value is not None]
        figure.add_scatter(
            x=[x for x, *_ in found],
            y=[value for _, value, *_ in found],
            name=html.escape(name),
            mode="lines+markers",
            line={"color": COLORS[place % len(COLORS)]},
            customdata=[n for *_, n in found],
            hovertemplate="%{x:.4g}: %{y:.3g}, n = %{customdata:,}",
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [span[1] - value for _, value, span, _ in found],
                "arrayminus": [value - span[0] for _, value, span, _ in found],
            },
        )
    if measure == "sharpness_ratio":
        figure.add_hline(1, line_color=REAL, line_dash="dot")
    figure.update_xaxes(title=title, rangemode="tozero")
    figure.update_layout(showlegend=len(series) > 1)
    return figure


# Conditions

RATIOS = "One record: all measures, as a ratio to real"


@st.fragment
def _draw_conditions(entries: Sequence[Entry]) -> None:
    """Draw one measure as conditions by records, or all measures of one record as conditions by measures."""
    table = conditions_of([entry.record for entry in entries])
    if not table:
        st.info("No record here has values by condition. The full suite measures them.")
        return
    labels, names = label_entries(entries), column_names(list(table))
    choices = {RATIOS: None, **{name: column for column, name in names.items()}}
    column = choices[_pick("Measure", list(choices), "board_condition")]
    if column is None:
        label = _pick("Record", labels, "board_condition_record") if len(labels) > 1 else labels[0]
        _draw_ratios(entries[labels.index(label)].record, _classes_of(entries))
        return
    values: list[list[Number]] = [[None if m is None else m.value for m in found] for found in table[column].values()]
    classes = _classes_of(entries)
    figure = heat_map([condition_title(name, classes=classes) for name in table[column]], labels, values, "")
    draw(figure, "board_heat", 140 + 28 * len(values))


def _classes_of(entries: Sequence[Entry]) -> dict[str, str]:
    """The plain names of the classes that the evaluated checkpoints draw."""
    refs = (entry.record.checkpoint for entry in entries)
    return {name: title for ref in refs if ref for name, title in studio().class_titles(ref.full_name).items()}


def _draw_ratios(record: Record, classes: Mapping[str, str]) -> None:
    ratios = ratio_table(record)
    if not ratios.rows:
        st.caption(f"{UNMEASURED}: this record has no value of real images by condition to compare with.")
        return
    columns = [name.replace(" · ", "<br>") for name in column_names(ratios.columns).values()]
    figure = heat_map(
        [condition_title(name, classes=classes) for name in ratios.rows], columns, ratios.values, "× real"
    )
    figure.update_traces(zmin=0, zmid=1, zmax=2, colorscale="RdBu")
    draw(figure, "board_heat", 160 + 28 * len(ratios.rows))
    st.caption("1: as in real images of the condition. Red: less; blue: more. Colors end at 0 and 2.")


# Radar

MOST_RADARS = 4


@st.fragment
def _draw_radars(entries: Sequence[Entry]) -> None:
    """Draw a radar of ratios to real for each of the first records."""
    grid = st.grid(2, min_column_width=320)
    for label, entry in list(zip(label_entries(entries), entries, strict=True))[:MOST_RADARS]:
        ratios = spokes(entry.record)
        missing = [name for name, ratio in ratios.items() if ratio is None]
        with grid.cell():
            st.markdown(f"**{escape_markdown(label)}**")
            if len(ratios) - len(missing) < 3:
                st.caption(f"{UNMEASURED}: a radar needs three measures with a ratio to real.")
                continue
            draw(radar(ratios), f"board radar {label}", 440)
            if missing:
                st.caption(escape_markdown(f"{UNMEASURED}: {', '.join(missing)}."))
    st.caption("Each spoke is generated divided by real: 1 on the blue ring. Values above 2 lie on the rim.")
    if len(entries) > MOST_RADARS:
        st.caption(f"The first {MOST_RADARS} of {len(entries)} records.")


main()
