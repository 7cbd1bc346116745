"""Facts and measured numbers in a row: names above values, and measurements with what they are based on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from pages.kit.services import escape_markdown
from xray_generator.evaluation.records import Measurement
from xray_generator.evaluation.summary import BETTER, NOT_MEASURED, known_measure, value_text


def draw_facts(facts: Mapping[str, str], *, columns: int | None = None, min_width: int = 140) -> None:
    """Draw names with their values below, side by side where columns of `min_width` pixels have room."""
    grid = st.grid(columns or len(facts), min_column_width=min_width)
    for name, value in facts.items():
        with grid.cell(), st.container(gap=None):
            st.caption(escape_markdown(name))
            st.text(value)


def draw_tiles(measurements: Sequence[Measurement], per_row: int = 4) -> None:
    """Draw a tile for each measurement."""
    for start in range(0, len(measurements), per_row):
        for column, measurement in zip(st.columns(per_row), measurements[start : start + per_row], strict=False):
            with column:
                draw_tile(measurement)


def draw_tile(m: Measurement) -> None:
    """Draw one measured value, what it means as help, and what it is based on."""
    measure = known_measure(m)
    st.metric(
        escape_markdown(measure.title),
        NOT_MEASURED if m.value is None else value_text(m),
        border=True,
        help=escape_markdown(f"{measure.help} {BETTER[measure.direction].capitalize()}."),
    )
    st.caption(escape_markdown(describe_basis(m)))


def describe_basis(m: Measurement) -> str:
    """What a value is based on: interval, real images, n, extractor, split; or the reason why there is no value."""
    if m.value is None:
        return m.reason
    parts = [
        "" if m.interval is None else f"95 % interval {value_text(m, m.interval[0])} to {value_text(m, m.interval[1])}",
        "" if m.real is None else f"real {value_text(m, m.real)} (n = {m.real_n:,})",
        f"n = {m.n:,}",
        m.extractor,
        f"{m.split} split" if m.split else "",
        m.condition,
    ]
    return "; ".join(part for part in parts if part)
