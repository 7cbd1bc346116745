"""The noise schedule of a model, and the timesteps that a scheduler visits on the way from noise to image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go
import streamlit as st

from pages.parts.charts import GENERATED, OTHERS, REAL, draw, lines
from pages.parts.model.engine import load
from xray_generator.abilities import NoiseScheduled
from xray_generator.checkpoints import Manifest
from xray_generator.evaluation.records import Curve
from xray_generator.types import MAX_STEPS

if TYPE_CHECKING:
    from xray_generator.dashboards.model_report import NoiseView

COLORS = {"signal": REAL, "noise": OTHERS[4], "log SNR": REAL}


def draw_noise(manifest: Manifest) -> None:
    """Draw the schedule, or say that the model has none."""
    if not _has_schedule(manifest.ref.sha256, manifest):
        st.info("This model has no noise schedule.")
        return
    left, right = st.columns(2)
    scheduler = left.selectbox(
        "Scheduler",
        manifest.schedulers,
        manifest.schedulers.index(manifest.recommended.scheduler),
        key=f"model_scheduler {' '.join(manifest.schedulers)}",
        persist_state="session",
    )
    recommended = manifest.recommended.num_inference_steps
    steps = right.number_input(
        "Steps",
        1,
        MAX_STEPS,
        recommended if isinstance(recommended, int) else 1,
        key=f"model_noise_steps {manifest.name}",
        persist_state="session",
    )
    view = _view(manifest.ref.sha256, scheduler, steps, manifest)
    if view is None:
        return
    shares, ratio = st.columns(2, gap="medium")
    with shares:
        st.markdown("**Signal and noise**")
        draw(_marked(view.shares, view.visited_shares, "signal"), "model_shares")
    with ratio:
        st.markdown("**Signal-to-noise ratio**")
        draw(_marked(view.log_snr, view.visited_log_snr, "log SNR"), "model_log_snr")
    st.caption(
        "Left: how much of the variance at each timestep of the training is image (alpha bar) and how much is noise. "
        "Right: the natural logarithm of their ratio. The marks are where the scheduler calls the model, from right "
        "(noise) to left (image)."
    )
    _draw_table(view)


@st.cache_data(max_entries=16, show_spinner=False)
def _has_schedule(sha256: str, _manifest: Manifest) -> bool:  # noqa: ARG001 - the cache's key
    return isinstance(load(_manifest), NoiseScheduled)


@st.cache_resource(max_entries=16, show_spinner="Reading the noise schedule")
def _view(sha256: str, scheduler: str, steps: int, _manifest: Manifest) -> NoiseView | None:  # noqa: ARG001 - the key
    engine = load(_manifest)
    from xray_generator.dashboards.model_report import view_noise

    return view_noise(engine, scheduler, steps)


def _marked(curve: Curve, visited: Curve, name: str) -> go.Figure:
    figure = lines(curve)
    for line, color in COLORS.items():
        figure.update_traces(line={"color": color}, selector={"name": line})
    figure.add_scatter(
        x=visited.x,
        y=visited.lines[name],
        name="visited in sampling",
        mode="markers",
        marker={"color": GENERATED, "size": 7},
    )
    return figure


def _draw_table(view: NoiseView) -> None:
    with st.expander(f"The {len(view.visited_shares.x):,} visited timesteps"):
        st.dataframe(
            {
                "Step": list(range(1, len(view.visited_shares.x) + 1)),
                "Timestep": list(view.visited_shares.x),
                "Share of signal": list(view.visited_shares.lines["signal"]),
                "Log SNR": list(view.visited_log_snr.lines["log SNR"]),
            },
            hide_index=True,
            width="stretch",
        )
