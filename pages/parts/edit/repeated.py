"""The same edit of many generated patients: the mean change of each label with its interval, and all pairs small."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st

from pages.parts.charts import GENERATED, draw, label
from pages.parts.edit.verdict import GRAY, draw_unjudged
from pages.parts.services import plain
from xray_generator.dashboards.counterfactual import label_title
from xray_generator.dashboards.difference import contact_sheet
from xray_generator.dashboards.edit_runs import OTHERS, Effect, Repeated, effects_csv
from xray_generator.evaluation.summary import NOT_MEASURED
from xray_generator.reference_encoder.bootstrap import MIN_SAMPLES
from xray_generator.types import Edit

ROW_PX, FRAME_PX = 26, 70
PER_ROW, SMALL_PX = 8, 128


def draw_repeated(found: Repeated) -> None:
    """Draw the figures of a repeated edit."""
    first, count = found.edits[0].after, len(found.edits)
    edit, seed = first.origin, first.request.seed
    assert isinstance(edit, Edit)
    st.text(f"{edit.source_prompt}\n→ {edit.prompt}")
    st.caption(f"{count} patients, seeds {seed} to {seed + count - 1}, strength {edit.strength:.0%}. Mean change:")
    verdict = found.verdicts[0]
    if verdict.reason:
        st.info(plain(f"The classifier's view: {NOT_MEASURED}. {verdict.reason}"))
    else:
        _draw_effects(found)
        draw_unjudged(verdict)
    pairs = [(made.before, made.after.images[0]) for made in found.edits]
    st.image(
        contact_sheet(pairs, PER_ROW, SMALL_PX),
        "Synthetic: each patient before, and after below.",
        width="stretch",
        output_format="PNG",
        alt="All patients before and after",
    )
    if not verdict.reason:
        st.download_button(
            "Mean changes as CSV",
            effects_csv(found),
            f"{first.checkpoint.name}_edit_{count}_patients.csv",
            "text/csv",
            key="edit_many_csv",
            on_click="ignore",
        )


def _draw_effects(found: Repeated) -> None:
    effects, count = found.effects, len(found.edits)
    draw(_chart(effects), "edit_effects", FRAME_PX + ROW_PX * len(effects))
    interval = (
        "Whiskers: 95 % interval, bootstrap over patients."
        if count >= MIN_SAMPLES
        else f"No interval: {count} patients are under the {MIN_SAMPLES} that one needs."
    )
    st.caption(
        plain(
            f"{interval} n = {count}. Orange: asked to change. Everything else: the mean absolute change of all other "
            f"labels. Classifier: {found.verdicts[0].classifier}, taught by real films alone."
        )
    )


def _chart(effects: tuple[Effect, ...]) -> go.Figure:
    names = [_name(effect) for effect in effects]
    figure = go.Figure(
        go.Bar(
            y=names,
            x=[100 * effect.mean for effect in effects],
            orientation="h",
            marker_color=[GENERATED if effect.asked else GRAY for effect in effects],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [_reach(effect, 1) for effect in effects],
                "arrayminus": [_reach(effect, 0) for effect in effects],
            },
            hovertemplate="%{y}: %{x:+.1f} points<extra></extra>",
        )
    )
    figure.update_xaxes(title="Mean change of the probability, points")
    figure.update_yaxes(autorange="reversed")
    return figure


def _name(effect: Effect) -> str:
    if effect.label == OTHERS:
        return "<i>Everything else (absolute)</i>"
    name = label(label_title(effect.label))
    return f"<b>{name}</b>" if effect.asked else name


def _reach(effect: Effect, end: int) -> float | None:
    return None if effect.interval is None else 100 * abs(effect.interval[end] - effect.mean)
