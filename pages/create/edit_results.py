"""What an edit brought: images, their difference, the classifier's scores; for one patient and for many."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from pages.kit import charts
from pages.kit.send import draw_send
from pages.kit.services import escape_markdown
from pages.kit.viewer import draw_cine, draw_viewer
from xray_generator.dashboards.difference import comparison_strip, contact_sheet, difference
from xray_generator.evaluation.summary import NOT_MEASURED
from xray_generator.experiments.counterfactual import (
    OTHERS,
    Change,
    Counterfactual,
    Effect,
    RepeatedEdit,
    Verdict,
    effects_csv,
    label_title,
    verdict_csv,
)
from xray_generator.export.pictures import pictures
from xray_generator.reference_encoder.bootstrap import MIN_SAMPLES
from xray_generator.types import NOTICE, Edit, GenerationResult

GRAY = "#8A8A8A"

_download = partial(st.download_button, on_click="ignore", icon=":material/download:")


def draw_one(found: Counterfactual) -> None:
    """Draw one edit: before and after, their difference, the classifier's scores, and the files."""
    before, after = found.edit.before, found.edit.after
    edit, image, changed = after.origin, after.images[0], difference(before, after.images[0])
    assert isinstance(edit, Edit)
    st.text(f"{edit.source_prompt or 'Uploaded image without a description'}\n→ {edit.prompt}")
    st.caption(_describe_source(after, edit))
    for note in after.notes:
        st.warning(escape_markdown(note))
    title = "Before, as reconstructed by the model" if edit.image_sha256 else "Before"
    images, heat = st.columns([2, 1], vertical_alignment="bottom")
    with images:
        draw_viewer({title: before, "After": image}, "edit_viewer", space_px=480)  # the scores fit below
    with heat.container(gap=None):
        st.image(changed.map(), width="stretch", output_format="PNG", alt="Difference map")
        st.caption("After − before")
    st.caption(
        f"Difference: blue is darker, red is brighter; full color at {1 / changed.gain:.1%} of the gray scale (gain "
        f"{changed.gain}). Mean absolute difference: {changed.mean_absolute:.2%} of the gray scale."
    )
    _draw_verdict(found.verdict)
    picture = pictures(after, 0)[0]
    stem = picture.file_name.removesuffix(".png")
    panels = {title: before, "After, synthetic": image, f"After − before, gain {changed.gain}": changed.map()}
    strip = partial(comparison_strip, panels, {"Description": NOTICE})
    with st.container(horizontal=True):
        recipe = "Contains the recipe to make it again."
        _download("PNG after", picture.png, picture.file_name, "image/png", key="edit_png", help=recipe)
        _download("Strip of all three", strip, f"{stem}_strip.png", "image/png", key="edit_strip")
        if found.verdict.changes:
            csv = verdict_csv(found.verdict)
            _download("Probabilities as CSV", csv, f"{stem}.csv", "text/csv", key="edit_csv")
        draw_send(picture, "edit_send")


def _describe_source(after: GenerationResult, edit: Edit) -> str:
    """Which checkpoint drew an edit, from which seed and how far: what a screenshot must say."""
    seeds = "" if edit.image_sha256 and edit.method == "inversion" else f" · seed {after.request.seed}"
    return escape_markdown(f"{after.checkpoint.name} · synthetic{seeds} · strength {edit.strength:.0%}")


def _draw_verdict(verdict: Verdict) -> None:
    if verdict.reason:
        st.info(escape_markdown(f"Classifier scores: {NOT_MEASURED}. {verdict.reason}"))
        return
    requested, others = verdict.requested[:4], verdict.mean_other_change
    grid = st.grid(len(requested) + 1, min_column_width=150)
    for change in requested:
        with grid.cell():
            st.metric(
                escape_markdown(label_title(change.label)),
                f"{change.after:.0%}",
                f"{100 * change.change:+.1f} points",
                delta_color="normal" if change.requested > 0 else "inverse",
                border=True,
                help=f"The classifier's probability; before the edit it was {change.before:.1%}.",
            )
            st.caption("should appear" if change.requested > 0 else "should disappear")
    with grid.cell():
        st.metric(
            "Other findings",
            NOT_MEASURED if others is None else f"{100 * others:.1f} points",
            border=True,
            help="The mean absolute change of the probabilities of all other findings. Good: near 0.",
        )
        st.caption(f"mean change of {len(verdict.others)}; should be near 0")
    _draw_unscored(verdict)
    if verdict.changes:
        charts.draw(_plot_changes(verdict.changes), "edit_chart", 90 + 24 * len(verdict.changes))
    st.caption(
        escape_markdown(
            "Changes are in percentage points. n = 1 image: an example, not a measurement of the model. Classifier: "
            f"{verdict.classifier}, trained on real images alone. Only labels that it recognizes reliably on real "
            "images of unseen patients are shown."
        )
    )


def _draw_unscored(verdict: Verdict) -> None:
    """Which of the requested labels have no score, and why."""
    lines = [f"{label_title(name)}: {NOT_MEASURED}, {reason}." for name, reason in verdict.unscored.items()]
    if lines:
        st.caption("  \n".join(map(escape_markdown, lines)))


def _plot_changes(changes: Sequence[Change]) -> go.Figure:
    """A line from before to after for each label, those requested on top and in orange."""
    figure = go.Figure()
    for change in changes:
        name, color = _emphasize(change), charts.GENERATED if change.requested else GRAY
        figure.add_scatter(
            x=[100 * change.before, 100 * change.after],
            y=[name, name],
            mode="lines+markers",
            showlegend=False,
            line={"color": color, "width": 3},
            marker={"color": color, "size": 10, "symbol": ["circle-open", "circle"]},
            hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
        )
    for symbol, name in (("circle-open", "before"), ("circle", "after")):  # the legend
        marker = {"color": GRAY, "size": 10, "symbol": symbol}
        figure.add_scatter(x=[None], y=[_emphasize(changes[0])], mode="markers", name=name, marker=marker)
    figure.update_xaxes(title="Probability, %", range=[-2, 102])
    figure.update_yaxes(autorange="reversed")
    return figure


def draw_many(found: RepeatedEdit) -> None:
    """Draw the same edit of many patients: the mean change of each label, and all pairs of images."""
    first, count, verdict = found.edits[0].after, len(found.edits), found.verdicts[0]
    edit, seed = first.origin, first.request.seed
    assert isinstance(edit, Edit)
    st.text(f"{edit.source_prompt}\n→ {edit.prompt}")
    st.caption(f"{count} patients. {_describe_source(first, edit)}")
    if verdict.reason:
        st.info(escape_markdown(f"Classifier scores: {NOT_MEASURED}. {verdict.reason}"))
    else:
        effects = found.effects
        charts.draw(_plot_effects(effects), "edit_effects", 70 + 26 * len(effects))
        interval = f"No interval: it needs {MIN_SAMPLES} patients or more, and there are {count}."
        if count >= MIN_SAMPLES:
            interval = "Whiskers: 95 % interval, bootstrap over patients."
        st.caption(
            escape_markdown(
                f"{interval} n = {count}. Orange: requested changes. Change in other findings: mean absolute change of "
                f"all other labels. Classifier: {verdict.classifier}, trained on real images alone."
            )
        )
        _draw_unscored(verdict)
    series = {
        "Before": [result.before for result in found.edits],
        "After": [result.after.images[0] for result in found.edits],
    }
    draw_cine(series, [f"seed {seed + index}" for index in range(count)], "edit_cine", space_px=480)
    st.image(
        contact_sheet([(result.before, result.after.images[0]) for result in found.edits], 8, 128),
        "Synthetic: each patient before, and after below.",
        width="stretch",
        output_format="PNG",
        alt="All patients before and after",
    )
    if not verdict.reason:
        name = f"{first.checkpoint.name}_edit_{count}_patients.csv"
        _download("Mean changes as CSV", effects_csv(found), name, "text/csv", key="edit_many_csv")


def _plot_effects(effects: Sequence[Effect]) -> go.Figure:
    """A bar for the mean change of each label with its interval, those requested on top and in orange."""
    ends = np.array([effect.interval or (np.nan, np.nan) for effect in effects])
    low, high = 100 * np.abs(ends - [[effect.mean] for effect in effects]).T  # NaN: no whisker
    figure = go.Figure(
        go.Bar(
            y=[_emphasize(effect) for effect in effects],
            x=[100 * effect.mean for effect in effects],
            orientation="h",
            marker_color=[charts.GENERATED if effect.requested else GRAY for effect in effects],
            error_x={"symmetric": False, "array": high, "arrayminus": low},
            hovertemplate="%{y}: %{x:+.1f} points<extra></extra>",
        )
    )
    figure.update_xaxes(title="Mean change of the probability, percentage points")
    figure.update_yaxes(autorange="reversed")
    return figure


def _emphasize(item: Change | Effect) -> str:
    """The name of a label for a figure: bold if it was requested to change."""
    if item.label == OTHERS:
        return "<i>Change in other findings (absolute)</i>"
    name = charts.label(label_title(item.label))
    return f"<b>{name}</b>" if item.requested else name
