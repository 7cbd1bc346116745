"""Quality of the records side by side over steps, over the time that they take, and over guidance."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import streamlit as st

from pages.parts.charts import GENERATED, OTHERS, REAL, draw
from pages.parts.services import plain
from xray_generator.dashboards.board import Entry, label_entries
from xray_generator.dashboards.series import STEPS, Point, over_time, sweep
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.summary import NOT_MEASURED

SWEEPS = ("kernel_distance", "sharpness_ratio")
AXES = {"steps": "Steps", "time": "Milliseconds for one image", "guidance": "Guidance scale"}
COLORS = (GENERATED, *OTHERS)


def draw_sweeps(entries: Sequence[Entry]) -> None:
    """Quality over steps, over the time that they take, and over guidance; a line for each record."""
    labels = label_entries(entries)
    for measure in SWEEPS:
        st.markdown(f"**{plain(MEASURES[measure].title)}**", help=plain(MEASURES[measure].help))
        grid = st.grid(3, min_column_width=300)
        for axis, title in AXES.items():
            lines = {label: _points(entry, measure, axis) for label, entry in zip(labels, entries, strict=True)}
            with grid.cell():
                if any(point.m.value is not None for points in lines.values() for point in points):
                    draw(_lines(lines, title, measure), f"board {measure} {axis}", 300)
                else:
                    st.caption(f"Against {title.lower()}: {NOT_MEASURED}. The full suite varies it.")
    st.caption(
        "A record without a sweep of the steps is one point, at its own settings. Times are those of the machine that "
        "made the record, so compare them only where the machine is the same; steps that were not timed are left out."
    )


def _points(entry: Entry, measure: str, axis: str) -> tuple[Point, ...]:
    if axis == "guidance":
        return sweep(entry.record, measure, "guidance_scale")
    points = sweep(entry.record, measure, STEPS)
    return points if axis == "steps" else over_time(entry.record, points)


def _lines(lines: Mapping[str, Sequence[Point]], title: str, measure: str) -> go.Figure:
    figure = go.Figure()
    for place, (name, points) in enumerate(lines.items()):
        found = [(p.x, p.m, p.m.value) for p in points if p.m.value is not None]
        spans = [m.interval or (value, value) for _, m, value in found]
        figure.add_scatter(
            x=[x for x, *_ in found],
            y=[value for *_, value in found],
            name=html.escape(name),
            mode="lines+markers",
            line={"color": COLORS[place % len(COLORS)]},
            customdata=[m.n for _, m, _ in found],
            hovertemplate="%{x:.4g}: %{y:.3g}, n = %{customdata:,}",
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [high - value for (_, high), (*_, value) in zip(spans, found, strict=True)],
                "arrayminus": [value - low for (low, _), (*_, value) in zip(spans, found, strict=True)],
            },
        )
    if measure == "sharpness_ratio":
        figure.add_hline(1, line_color=REAL, line_dash="dot")  # as real
    figure.update_xaxes(title=title, rangemode="tozero")
    figure.update_layout(showlegend=len(lines) > 1)
    return figure
