"""The fields that narrow a dataset down, and the count of what is left."""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import partial

import streamlit as st

from pages.parts.dataset.image import FACT_NAMES
from pages.parts.dataset.source import Explored
from pages.parts.services import plain
from xray_generator.data.exploration import (
    FACTS,
    MAX_QUERY_CHARACTERS,
    NOT_KNOWN,
    Filters,
    count_facts,
    count_findings,
    filter_rows,
    to_csv,
)
from xray_generator.data.rows import Row, finding_name

ANY, WITH, WITHOUT = "any", "with a report", "without a report"
REPORTS = {ANY: None, WITH: True, WITHOUT: False}
SEARCH_HELP = (
    "In prompts and reports. All words must occur; a word is found by its beginning: pneumo finds pneumonia and"
    ' pneumothorax. "In quotes": exactly these words in this order. Case does not matter.'
)


def draw_filters(explored: Explored) -> tuple[Row, ...]:
    """Draw the fields and the count; return the rows that are left."""
    rows = explored.dataset.rows
    search, findings, more = st.columns([3, 3, 1.2], vertical_alignment="bottom")
    query = search.text_input(
        "Search",
        key=_key(explored, "query"),
        max_chars=MAX_QUERY_CHARACTERS,
        help=SEARCH_HELP,
        placeholder='effusion "AP chest"',
        persist_state="session",
    )
    counts = count_findings(rows).query("present > 0").present.to_dict()
    _forget_unknown(_key(explored, "findings"), counts)
    chosen = findings.multiselect(
        "Finding",
        list(counts),
        format_func=lambda name: f"{finding_name(name)} ({counts[name]:,})",
        key=_key(explored, "findings"),
        placeholder="any",
        disabled=not counts,
        persist_state="session",
    )
    with more.popover("More filters", width="stretch"):
        filters = _draw_more(explored, query, tuple(chosen))
    kept = filter_rows(rows, filters)
    _draw_count(explored, filters, kept)
    return kept


def _draw_more(explored: Explored, query: str, findings: tuple[str, ...]) -> Filters:
    rows = explored.dataset.rows
    every = st.toggle(
        "All chosen findings together", key=_key(explored, "every"), disabled=len(findings) < 2, persist_state="session"
    )
    facts = {name: _pick(explored, name) for name in FACTS}
    ages = _pick_ages(explored)
    has_reports = {bool(row.report.strip()) for row in rows}
    report = st.selectbox(
        "Report",
        list(REPORTS),
        key=_key(explored, "report"),
        disabled=len(has_reports) < 2,
        persist_state="session",
        help="" if len(has_reports) > 1 else f"Every image here is {WITH if True in has_reports else WITHOUT}.",
    )
    return Filters(**facts, findings=findings, all_findings=every, ages=ages, has_report=REPORTS[report], query=query)


def _pick(explored: Explored, name: str) -> tuple[str, ...]:
    counts = count_facts(explored.dataset.rows, name)
    values = {"" if value == NOT_KNOWN else value: number for value, number in counts.items()}
    _forget_unknown(_key(explored, name), values)
    return tuple(
        st.multiselect(
            FACT_NAMES[name],
            list(values),
            format_func=lambda value: f"{value or NOT_KNOWN} ({values[value]:,})",
            key=_key(explored, name),
            placeholder="any",
            disabled=len(values) < 2,
            persist_state="session",
        )
    )


def _pick_ages(explored: Explored) -> tuple[int, int] | None:
    known = [row.age for row in explored.dataset.rows if row.age is not None]
    low, high = min(known, default=0), max(known, default=0)
    if low == high:
        st.caption("Age: no range to choose from.")
        return None
    key = _key(explored, "ages")
    youngest, oldest = st.session_state.get(key, (low, high))
    st.session_state[key] = max(low, min(youngest, high)), min(high, max(oldest, low))
    ages: tuple[int, int] = st.slider(
        "Age in years",
        low,
        high,
        key=key,
        persist_state="session",
        help="Narrower than the whole range, it leaves out images of unknown age.",
    )  # type: ignore[assignment]
    return None if ages == (low, high) else ages


def _draw_count(explored: Explored, filters: Filters, kept: Sequence[Row]) -> None:
    total = len(explored.dataset.rows)
    with st.container(horizontal=True, vertical_alignment="center", key="dataset_count"):
        st.markdown(f"**{len(kept):,} of {total:,} images**", width="content")
        if filters.count:
            st.caption(plain(_words(filters)), width="content")
            st.button("Clear filters", key="dataset_clear", type="tertiary", on_click=_clear, args=(explored,))
        st.space("stretch")
        st.download_button(
            "Rows as CSV",
            partial(_csv, tuple(kept), explored),
            f"{explored.name}_rows.csv",
            "text/csv",
            key="dataset_csv",
            on_click="ignore",
            disabled=not kept,
        )


def _csv(rows: tuple[Row, ...], explored: Explored) -> bytes:
    return to_csv(rows, explored.folder).encode()


def _words(filters: Filters) -> str:
    """What is asked for, in one line."""
    parts = [f"search {filters.query.strip()}"] if filters.query.strip() else []
    if filters.findings:
        parts.append((" and " if filters.all_findings else " or ").join(map(finding_name, filters.findings)))
    facts = {FACT_NAMES[name].lower(): getattr(filters, name) for name in FACTS}
    parts += [f"{name} {' or '.join(v or NOT_KNOWN for v in values)}" for name, values in facts.items() if values]
    if filters.ages:
        parts.append(f"{filters.ages[0]} to {filters.ages[1]} years")
    if filters.has_report is not None:
        parts.append(WITH if filters.has_report else WITHOUT)
    return " · ".join(parts)


def _clear(explored: Explored) -> None:
    known = [row.age for row in explored.dataset.rows if row.age is not None]
    empty = {"query": "", "findings": [], "every": False, "report": ANY, **{name: [] for name in FACTS}}
    for name, value in empty.items():
        st.session_state[_key(explored, name)] = value
    if known:
        st.session_state[_key(explored, "ages")] = (min(known), max(known))


def _forget_unknown(key: str, options: Container[str]) -> None:
    """Drop choices that a table, written anew since, no longer has."""
    if chosen := st.session_state.get(key):
        st.session_state[key] = [value for value in chosen if value in options]


def _key(explored: Explored, name: str) -> str:
    return f"dataset_{explored.key}_{name}"
