"""How a checkpoint was trained: curves of its log, and its previews as an animation and as a strip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import plotly.graph_objects as go
import streamlit as st

from pages.parts.charts import OTHERS, draw, lines
from pages.parts.model.engine import folder_of
from pages.parts.services import plain, studio
from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.training_curves import (
    Training,
    animate,
    find_training,
    is_run_of,
    loss_curves,
    other_curves,
    shown_previews,
    stamp,
    term_curve,
)
from xray_generator.evaluation.records import Curve

if TYPE_CHECKING:
    from xray_generator.training.history import Stage

STRIP_PX = 440
LOOKS = {
    "training loss": {"color": OTHERS[4], "width": 1},
    "training loss, smoothed": {"color": OTHERS[0], "width": 2},
    "validation loss": {"color": OTHERS[1], "width": 2},
}


def draw_training(manifest: Manifest) -> None:
    """Draw the history of the checkpoint, or of its run where that has more."""
    checkpoint, named = folder_of(manifest), studio().output_dir / "runs" / manifest.name
    run = named if is_run_of(named, manifest.config) else None
    training = _read(checkpoint, run, stamp(checkpoint / "history", named))
    if not training.stages:
        st.info(
            plain(
                f"This checkpoint carries no history of its training, and there is no run with its settings in {named}."
            )
        )
        return
    stages = {stage.name: stage for stage in training.stages}
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    name = left.segmented_control(
        "Stage",
        list(stages),
        default=next(iter(stages)),
        required=True,
        key=f"model_stage {' '.join(stages)}",
        format_func=lambda name: plain(name.replace("_", " ").capitalize()),
        persist_state="session",
    )
    logarithmic = right.toggle("Logarithmic loss", key="model_log_scale", persist_state="session")
    stage = stages[name]
    origin = f"the log of the run in {training.folder}" if training.is_run else "the copy inside the checkpoint"
    st.caption(plain(f"{len(stage.rows):,} logged lines up to step {stage.last_step:,}, from {origin}."))
    _draw_curves(stage, is_logarithmic=logarithmic)
    _draw_previews(stage, manifest)


@st.cache_data(max_entries=4, show_spinner=False)
def _read(checkpoint: Path, run: Path | None, stamp: int) -> Training:  # noqa: ARG001 - a part of the cache's key
    return find_training(checkpoint, run)


def _draw_curves(stage: Stage, *, is_logarithmic: bool) -> None:
    figures = {}
    if curves := loss_curves(stage):
        figures["Loss"] = _overlay(curves, is_logarithmic=is_logarithmic)
    figures |= {curve.title: _single(curve) for curve in other_curves(stage)}
    if terms := term_curve(stage):
        figures[terms.title] = lines(terms, log_y=True)  # of different orders
    grid = st.grid(2, min_column_width=320)
    for title, figure in figures.items():
        with grid.cell():
            st.markdown(f"**{plain(title)}**")
            draw(figure, f"model_curve {stage.name} {title}", height=260)


def _single(curve: Curve) -> go.Figure:
    figure = lines(curve)
    figure.update_layout(showlegend=False)
    figure.update_yaxes(title=None)  # the heading says it
    return figure


def _overlay(curves: Sequence[Curve], *, is_logarithmic: bool) -> go.Figure:
    """Curves with steps of their own in one figure."""
    figure = lines(curves[0], log_y=is_logarithmic)
    for curve in curves[1:]:
        figure.add_traces(lines(curve).data)
    for name, look in LOOKS.items():
        figure.update_traces(line=look, selector={"name": name})
    return figure


def _draw_previews(stage: Stage, manifest: Manifest) -> None:
    st.markdown("**Previews over the training**")
    previews = shown_previews(stage)
    if not previews:
        st.caption("No previews were kept.")
        return
    st.caption("Drawn at these steps from the same noise, or from the same images: what changes is the model.")
    gif = _animate(previews, max(path.stat().st_mtime_ns for path in previews.values()))
    st.image(gif, width="stretch", alt="Animation of the previews over the training")
    st.download_button(
        "Animation as GIF", gif, f"{manifest.name}_{stage.name}.gif", "image/gif", key="model_gif", on_click="ignore"
    )
    with st.container(height=STRIP_PX, key="model_strip"):
        for step, path in previews.items():
            st.caption(f"Step {step:,}")
            st.image(str(path), width="stretch", alt=f"Preview at step {step:,}")


@st.cache_data(max_entries=4, show_spinner="Joining the previews")
def _animate(previews: dict[int, Path], modified_ns: int) -> bytes:  # noqa: ARG001 - a part of the cache's key
    return animate(previews)
