"""How every page says a measured number: with its interval, what it was measured on, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.parts.services import plain
from xray_generator.evaluation.records import Measurement
from xray_generator.evaluation.summary import BETTER, NOT_MEASURED, known_measure, value_text


def draw_tiles(measurements: Sequence[Measurement], per_row: int = 4) -> None:
    """A tile for each measurement: value, yardstick, and help in plain words."""
    for start in range(0, len(measurements), per_row):
        columns = st.columns(per_row)
        for column, measurement in zip(columns, measurements[start : start + per_row], strict=False):
            with column:
                draw_tile(measurement)


def draw_tile(m: Measurement) -> None:
    """One number with what it stands on."""
    measure = known_measure(m)
    st.metric(
        plain(measure.title),
        NOT_MEASURED if m.value is None else value_text(m),
        border=True,
        help=plain(f"{measure.help} {BETTER[measure.direction].capitalize()}."),
    )
    st.caption(plain(basis(m)))


def basis(m: Measurement) -> str:
    """What a number stands on, in one line: interval, yardstick, n and classifier; or the reason why there is none."""
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
