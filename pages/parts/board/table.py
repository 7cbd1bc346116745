"""Records side by side as tables: the chosen measures of each, and their ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from pages.parts.services import plain
from xray_generator.dashboards.board import Column, Entry, age, column_names, headline, label_entries
from xray_generator.dashboards.ranks import RULE, rank
from xray_generator.dashboards.report import interval_text
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.records import Measurement
from xray_generator.evaluation.summary import BETTER, NOT_MEASURED, value_text

LARGE = 1_000  # from here numbers are written in full, with separators


def draw_comparison(entries: Sequence[Entry], columns: Sequence[Column]) -> None:
    """A row for each record: value, then interval and yardstick, of each column."""
    values = [headline(entry.record) for entry in entries]
    table: dict[str, list[Any]] = {"Record": list(label_entries(entries))}
    config: dict[str, Any] = {"Record": st.column_config.TextColumn(pinned=True)}
    for column, name in column_names(columns).items():
        found = [value.get(column) for value in values]
        table[name] = [None if m is None else m.value for m in found]
        table[f"{name}, on"] = [_basis(m) for m in found]
        config[name] = st.column_config.NumberColumn(name, help=_help(column), format=_format(found))
        config[f"{name}, on"] = st.column_config.TextColumn("interval; real; n", width="medium")
    table["Weights"] = [_weights(entry) for entry in entries]
    table["Measured"] = [f"{entry.record.created[:10]}, {age(entry.record.created)}" for entry in entries]
    st.dataframe(table, column_config=config, hide_index=True, width="stretch", key="board_table")


def draw_ranks(entries: Sequence[Entry], columns: Sequence[Column]) -> None:
    """A row for each record: its rank in each column, and the mean of those that all have."""
    ranking = rank([entry.record for entry in entries], columns)
    if len(entries) < 2:
        st.info("Ranks need two records or more: alone, each measured number has rank 1 of 1.")
    names = column_names(columns)
    table: dict[str, list[Any]] = {
        "Record": list(label_entries(entries)),
        f"Mean rank, {ranking.num_common} measures": list(ranking.mean),
        **{names[column]: list(ranks) for column, ranks in ranking.by_column.items()},
    }
    config = {f"Mean rank, {ranking.num_common} measures": st.column_config.NumberColumn(format="%.2f")}
    table["Weights"] = [_weights(entry) for entry in entries]
    table["Measured"] = [f"{entry.record.created[:10]}, {age(entry.record.created)}" for entry in entries]
    st.dataframe(table, column_config=config, hide_index=True, width="stretch", key="board_ranks", placeholder="–")
    if ranking.reason:
        st.caption(plain(ranking.reason))
    st.caption(plain(RULE))


def _weights(entry: Entry) -> str:
    if entry.record.checkpoint is None:
        return "of unknown origin"
    return "changed or not here" if entry.stale else "as judged"


def _basis(m: Measurement | None) -> str:
    if m is None:
        return f"{NOT_MEASURED}: not in this record"
    if m.value is None:
        return f"{NOT_MEASURED}: {m.reason}"
    real = "" if m.real is None else f"real {value_text(m, m.real)}"
    return "; ".join(filter(None, (interval_text(m), real, f"n = {m.n:,}")))


def _help(column: Column) -> str:
    if column.measure not in MEASURES:
        return ""
    measure = MEASURES[column.measure]
    space = f" Measured by {column.extractor}." if column.extractor else ""
    unit = f" In {measure.unit}." if measure.unit else ""
    return plain(f"{measure.help} {BETTER[measure.direction].capitalize()}.{unit}{space}")


def _format(found: Sequence[Measurement | None]) -> str:
    values = [abs(m.value) for m in found if m is not None and m.value is not None]
    return "%,.0f" if max(values, default=0) >= LARGE else "%.3g"
