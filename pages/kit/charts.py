"""Interactive charts: numbers in, a Plotly figure out, with the same colors on every page.

Real images are blue and generated ones orange, from the colorblind-safe palette of Okabe & Ito 2008. A value that was
not measured leaves a gap, never a 0. No chart needs the network. Plotly interprets some HTML in every text, so names
that come from data are escaped here, in one place (see `label`).
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from xray_generator.evaluation.records import Curve, Measurement
from xray_generator.evaluation.summary import GENERATED as GENERATED  # pages take the colors from here
from xray_generator.evaluation.summary import RADAR_LIMIT as RADAR_LIMIT
from xray_generator.evaluation.summary import REAL as REAL

OTHERS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
HEIGHT = 320  # pixels
MARGIN = {"l": 10, "r": 10, "t": 40, "b": 10}
TOOLS_PX = 20  # a touch screen always shows the tools of a figure, above its legend
NAME_WIDTH = 14  # letters in a line of a spoke's name
CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]}

Number = float | None


def draw(figure: go.Figure, key: str, height: int = HEIGHT) -> None:
    """Draw a figure as wide as its column; `key` identifies it for tests and the browser."""
    margin = MARGIN | {"t": MARGIN["t"] + TOOLS_PX * (len(figure.data) > 1)}
    figure.update_layout(height=height, margin=margin, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    st.plotly_chart(figure, key=key, width="stretch", config=CONFIG)


def label(text: str) -> str:
    """Text escaped for a figure; only <br> keeps its meaning, so that a long name can be broken into lines."""
    return html.escape(text, quote=False).replace("&lt;br&gt;", "<br>")


def lines(curve: Curve, *, log_x: bool = False, log_y: bool = False) -> go.Figure:
    """A line for each name over x; a value that was not measured leaves a gap."""
    figure = go.Figure()
    colors = color_of(list(curve.lines))
    for name, values in curve.lines.items():
        figure.add_scatter(
            x=curve.x,
            y=values,
            name=label(name),
            mode="lines+markers" if len(values) < 30 else "lines",
            line={"color": colors[name]},
            connectgaps=False,
        )
    figure.update_xaxes(title=label(curve.x_label), type="log" if log_x else "linear")
    figure.update_yaxes(title=label(curve.y_label), type="log" if log_y else "linear")
    return figure


def areas(curve: Curve) -> go.Figure:
    """A filled line for each name over x: histograms that were counted elsewhere."""
    figure = lines(curve)
    figure.update_traces(fill="tozeroy", mode="lines", line_shape="hvh", opacity=0.6)
    return figure


def bars(measurements: Mapping[str, Measurement], title: str) -> go.Figure:
    """A bar for each measurement with its 95 % interval, and a blue mark at the value of real images."""
    names = list(map(label, measurements))
    found = list(measurements.values())
    above, below = ([_reach(m, end) for m in found] for end in (1, 0))
    figure = go.Figure()
    figure.add_bar(
        x=names,
        y=[m.value for m in found],
        name="generated",
        marker_color=GENERATED,
        customdata=[m.n for m in found],
        hovertemplate="%{x}: %{y:.3g}, n = %{customdata:,}<extra></extra>",
        error_y={"type": "data", "symmetric": False, "array": above, "arrayminus": below},
    )
    if any(m.real is not None for m in found):
        figure.add_scatter(
            x=names,
            y=[m.real for m in found],
            name="real",
            mode="markers",
            customdata=[m.real_n for m in found],
            marker={"symbol": "line-ew", "size": 24, "line": {"width": 3, "color": REAL}},
            hovertemplate="%{x}, real: %{y:.3g}, n = %{customdata:,}<extra></extra>",
        )
    figure.update_yaxes(title=label(title))
    return figure


def strips(groups: Mapping[str, Sequence[float]], marks: Mapping[str, float], title: str) -> go.Figure:
    """The values of each group as a box with its points, and a line across for each mark.

    A mark that lies farther from the groups than they extend is named at the edge with its value, so that it does not
    squeeze the rest.
    """
    low, high = _limits([value for values in groups.values() for value in values], list(marks.values()))
    figure = go.Figure()
    for (name, values), color in zip(groups.items(), color_of(list(groups)).values(), strict=True):
        figure.add_box(
            x=values,
            name=label(name),
            boxpoints="all",
            pointpos=0,
            jitter=0.6,
            fillcolor="rgba(0, 0, 0, 0)",
            marker={"color": color, "size": 6, "opacity": 0.7},
            line={"width": 1},
            showlegend=False,
            hovertemplate="%{x:.3f}<extra>%{fullData.name}</extra>",
        )
    for index, ((name, value), color) in enumerate(zip(marks.items(), color_of(list(marks)).values(), strict=True)):
        drawn: dict[str, Any] = {
            "x": [value, value],
            "y": [0, 1],
            "mode": "lines",
            "line": {"color": color, "width": 3},
        }
        if not low <= value <= high:
            side, end = ("right", high) if value > high else ("left", low)
            drawn = {
                "x": [end],
                "y": [0.9 - 0.15 * index],
                "mode": "markers+text",
                "marker": {"color": color, "size": 12, "symbol": f"triangle-{side}"},
                "text": [label(f"{name}: {value:,.1f}")],
                "textposition": "top left" if side == "right" else "top right",  # above the line of a box
            }
        hover = f"{value:,.3f}<extra>%{{fullData.name}}</extra>"
        figure.add_scatter(**drawn, yaxis="y2", name=label(name), hovertemplate=hover)
    across = {"overlaying": "y", "range": [0, 1], "visible": False}
    figure.update_layout(yaxis={"autorange": "reversed"}, yaxis2=across)
    margin = 0.04 * (high - low)
    figure.update_xaxes(title=label(title), range=[low - margin, high + margin])
    return figure


def _limits(values: Sequence[float], marks: Sequence[float]) -> tuple[float, float]:
    """The ends of a scale over values, or without any over marks, and over marks no farther away than they extend."""
    values = values or marks
    low, high = min(values), max(values)
    reach = high - low or abs(high) / 2 or 1.0
    near = [*values, *(mark for mark in marks if low - reach <= mark <= high + reach)]
    return (min(near), max(near)) if len(set(near)) > 1 else (low - reach, high + reach)


def counts(numbers: Mapping[str, int], title: str) -> go.Figure:
    """Counts as horizontal bars, the first at the top."""
    figure = go.Figure(
        go.Bar(y=list(map(label, numbers)), x=list(numbers.values()), orientation="h", marker_color=REAL)
    )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(title=label(title))
    return figure


def heat_map(rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[Number]], title: str) -> go.Figure:
    """A matrix of values in color, each written in its cell; a dash stands for "not measured"."""
    texts = [["–" if value is None else f"{value:.3g}" for value in row] for row in values]
    figure = go.Figure(
        go.Heatmap(
            x=list(map(label, columns)),
            y=list(map(label, rows)),
            z=[list(row) for row in values],
            text=texts,
            texttemplate="%{text}",
            colorscale="Cividis",
            colorbar={"title": label(title)},
            hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed")
    return figure


def radar(ratios: Mapping[str, Number]) -> go.Figure:
    """The ratio generated / real of each measure on a spoke; the blue ring is 1. Without a ratio there is no spoke."""
    measured = {name: min(ratio, RADAR_LIMIT) for name, ratio in ratios.items() if ratio is not None}
    names = [label("<br>".join(textwrap.wrap(name, NAME_WIDTH))) for name in measured]
    radii = list(measured.values())
    ring = {"mode": "lines", "line": {"color": REAL}, "name": "as real", "hoverinfo": "skip"}
    figure = go.Figure(go.Scatterpolar(r=[1.0] * (len(names) + 1), theta=[*names, *names[:1]], **ring))
    figure.add_scatterpolar(
        r=[*radii, *radii[:1]],
        theta=[*names, *names[:1]],
        name="generated / real",
        line={"color": GENERATED},
        hovertemplate="%{theta}: %{r:.2f} × real<extra></extra>",
    )
    room = {"x": [0.2, 0.8], "y": [0.12, 0.9]}  # leaves space for the names
    figure.update_polars(radialaxis={"range": [0, RADAR_LIMIT]}, domain=room, bgcolor="rgba(0, 0, 0, 0)")
    return figure


def scatter(
    x: Sequence[float], y: Sequence[float], groups: Sequence[str], hover: Sequence[str], axes: tuple[str, str]
) -> go.Figure:
    """Points in the color of their group; each shows its text on hover."""
    figure = go.Figure()
    for name, color in color_of(list(dict.fromkeys(groups))).items():
        places = [i for i, group in enumerate(groups) if group == name]
        figure.add_scatter(
            x=[x[i] for i in places],
            y=[y[i] for i in places],
            name=label(name),
            mode="markers",
            customdata=places,
            text=[label(hover[i]) for i in places],
            hovertemplate="%{text}<extra></extra>",
            marker={"color": color, "size": 6},
        )
    figure.update_xaxes(title=label(axes[0]))
    figure.update_yaxes(title=label(axes[1]))
    return figure


def color_of(names: Sequence[str]) -> dict[str, str]:
    """A color for each name: blue if it begins with "real", orange with "generated", else the next of the palette."""
    others = iter(OTHERS * (len(names) // len(OTHERS) + 1))
    return {
        name: REAL if name.startswith("real") else GENERATED if name.startswith("generated") else next(others)
        for name in names
    }


def _reach(m: Measurement, end: int) -> Number:
    """The distance of the interval's lower (0) or upper (1) end from the value."""
    return None if m.value is None or m.interval is None else abs(m.interval[end] - m.value)
