"""What the classifier makes of one edit: what was asked for, everything else, and each label before and after."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st

from pages.parts.charts import GENERATED, draw, label
from pages.parts.services import plain
from xray_generator.dashboards.counterfactual import Change, Verdict, label_title
from xray_generator.evaluation.summary import NOT_MEASURED

GRAY = "#8A8A8A"
ROW_PX, FRAME_PX = 24, 90
MOST_TILES = 4
ASKED_WORDS = {1: "asked to appear", -1: "asked to go"}


def draw_verdict(verdict: Verdict) -> None:
    """Draw the figures, the chart and what they stand on; or why there are none."""
    if verdict.reason:
        st.info(plain(f"The classifier's view: {NOT_MEASURED}. {verdict.reason}"))
        return
    _draw_tiles(verdict)
    draw_unjudged(verdict)
    if verdict.changes:
        draw(_chart(verdict), "edit_chart", FRAME_PX + ROW_PX * len(verdict.changes))
    st.caption(
        plain(
            f"n = 1 image: an example, no measurement of the model. Classifier: {verdict.classifier}, taught by real films alone; "
            "shown are the labels that it tells well on real films of unseen patients."
        )
    )


def draw_unjudged(verdict: Verdict) -> None:
    """Say which of the labels that were asked for are not judged, and why."""
    lines = [plain(f"{label_title(name)}: {NOT_MEASURED}, {reason}.") for name, reason in verdict.unjudged.items()]
    if lines:
        st.caption("  \n".join(lines))


def _draw_tiles(verdict: Verdict) -> None:
    asked = verdict.asked[:MOST_TILES]
    grid = st.grid(len(asked) + 1, min_column_width=150)
    for change in asked:
        with grid.cell():
            st.metric(
                plain(label_title(change.label)),
                f"{change.after:.0%}",
                f"{100 * change.change:+.1f} points",
                delta_color="normal" if change.asked > 0 else "inverse",
                border=True,
                help=plain(f"Before the edit the classifier gave it {change.before:.1%}."),
            )
            st.caption(ASKED_WORDS[change.asked])
    with grid.cell():
        others = verdict.others
        st.metric(
            "Everything else",
            NOT_MEASURED if others is None else f"{100 * others:.1f} points",
            border=True,
            help=f"The mean absolute change of the probabilities of {len(verdict.kept)} other labels. Lower is better.",
        )
        st.caption(f"mean absolute change, {len(verdict.kept)} labels")


def _chart(verdict: Verdict) -> go.Figure:
    """A line from before to after for each label, what was asked for on top and in orange."""
    figure = go.Figure()
    for change in verdict.changes:
        figure.add_scatter(
            x=[100 * change.before, 100 * change.after],
            y=[_name(change)] * 2,
            mode="lines+markers",
            showlegend=False,
            line={"color": _color(change), "width": 3},
            marker={"color": _color(change), "size": 10, "symbol": ["circle-open", "circle"]},
            hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
        )
    for symbol, name in (("circle-open", "before"), ("circle", "after")):
        figure.add_scatter(
            x=[None],
            y=[_name(verdict.changes[0])],
            mode="markers",
            name=name,
            marker={"color": GRAY, "size": 10, "symbol": symbol},
        )
    figure.update_xaxes(title="Probability, %", range=[-2, 102])
    figure.update_yaxes(autorange="reversed")
    return figure


def _name(change: Change) -> str:
    return f"<b>{label(label_title(change.label))}</b>" if change.asked else label(label_title(change.label))


def _color(change: Change) -> str:
    return GENERATED if change.asked else GRAY
