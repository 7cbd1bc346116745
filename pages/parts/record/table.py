"""Measurements as a table: each number with its interval, yardstick, n, space and settings, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from xray_generator.dashboards.prompts import condition_title
from xray_generator.dashboards.report import interval_text, settings_text
from xray_generator.evaluation.records import Measurement
from xray_generator.evaluation.summary import BETTER, NOT_MEASURED, known_measure, value_text


def draw_table(measurements: Sequence[Measurement], key: str) -> None:
    """Draw a row for each measurement; a column that would be empty is left out."""
    columns: dict[str, list[Any]] = {
        "Measure": [known_measure(m).title for m in measurements],
        "Of": [condition_title(m.condition, "all") for m in measurements],
        "Value": [NOT_MEASURED if m.value is None else value_text(m) for m in measurements],
        "95 % interval": [interval_text(m) for m in measurements],
        "Real images": ["" if m.real is None else value_text(m, m.real) for m in measurements],
        "n": [m.n for m in measurements],
        "Real n": [m.real_n for m in measurements],
        "Read as": [BETTER[known_measure(m).direction] for m in measurements],
        "Space or classifier": [m.extractor for m in measurements],
        "Split": [m.split for m in measurements],
        "Why not": [m.reason for m in measurements],
        "Settings": [settings_text(m) for m in measurements],
    }
    shown = {name: values for name, values in columns.items() if any(values)}
    st.dataframe(shown, hide_index=True, width="stretch", key=key)
