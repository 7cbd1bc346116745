"""Model analysis: how a checkpoint was trained and how fast it is.

Its networks are in `model_networks`; whether it draws structure and hears each word is in `model_structure`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import plotly.graph_objects as go
import streamlit as st

from pages.kit.charts import OTHERS, draw, lines
from pages.kit.checkpoints import draw_strengths, pick_checkpoint
from pages.kit.facts import draw_facts, draw_tile
from pages.kit.jobs import draw_end, draw_progress, find_job, last_result, start_button
from pages.kit.services import escape_markdown, explain_faults, studio
from pages.measure.model_networks import draw_architecture, draw_autoencoder, draw_noise
from pages.measure.model_structure import draw_structure
from pages.measure.records import load_records
from xray_generator.checkpoints import Manifest, find_checkpoint
from xray_generator.dashboards.timings import (
    Timing,
    compare_times,
    latency_text,
    machine_text,
    stored_times,
    time_curve,
)
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
from xray_generator.data.naming import stage_title
from xray_generator.evaluation.records import Curve, Measurement
from xray_generator.evaluation.summary import NOT_MEASURED
from xray_generator.gallery import find_sample
from xray_generator.jobs import Work
from xray_generator.registry import get_family

if TYPE_CHECKING:  # these modules import torch
    from xray_generator.training.history import Stage


@explain_faults()
def main() -> None:
    """Draw the page."""
    st.caption(
        "How a model was trained, what it consists of, what its autoencoder keeps of an image, whether it draws "
        "structure and hears every word, and how fast it is."
    )
    manifest = pick_checkpoint()
    _draw_manifest(manifest)
    tabs = {
        "Training": _draw_training,  # first: it needs no weights, so the page opens at once
        "Architecture": draw_architecture,
        "Noise schedule": draw_noise,
        "Autoencoder": draw_autoencoder,
        "Structure and prompt": draw_structure,
        "Speed": _draw_speed,
    }
    for draw_tab, tab in zip(tabs.values(), st.tabs(list(tabs), key="model_tab", on_change="rerun"), strict=True):
        with tab:
            if tab.open:
                _draw_tab(draw_tab, manifest)


@st.fragment
@explain_faults()
def _draw_tab(draw_tab: Callable[[Manifest], None], manifest: Manifest) -> None:
    draw_tab(manifest)


SAMPLE_PX = 160  # as wide as the picture at the top is at most


def _draw_manifest(manifest: Manifest) -> None:
    """Draw a picture, what the model is good and bad at, and then the facts."""
    recommended, sample = manifest.recommended, find_sample(studio().sample_dir(manifest.name), manifest)
    with st.container(horizontal=True, gap="medium"):
        if sample is not None:
            st.image(str(sample), "Synthetic", width=SAMPLE_PX, alt="An image that this model drew")
        with st.container(width="stretch"):
            draw_strengths(manifest)
    steps = (f"{stage_title(name)} {count:,}" for name, count in sorted(manifest.steps.items()))
    draw_facts(
        {
            "Kind": get_family(manifest.family).title,
            "Image size": ", ".join(f"{size} x {size} pixels" for size in manifest.sizes),
            "Training images": f"{manifest.data.num_train:,}" if manifest.data.num_train else "not recorded",
            "Training steps": ", ".join(steps) or "none",
            "Recommended": f"{recommended.num_inference_steps} steps of {recommended.scheduler}, "
            f"guidance {recommended.guidance_scale:g}",
        }
    )
    with st.expander("All training settings, and the hash of the weights"):
        st.text(f"SHA-256 {manifest.ref.sha256}")
        st.json(manifest.config)


# Training

LOOKS = {
    "training loss": {"color": OTHERS[4], "width": 1},
    "training loss, smoothed": {"color": OTHERS[0], "width": 2},
    "validation loss": {"color": OTHERS[1], "width": 2},
}


def _draw_training(manifest: Manifest) -> None:
    """Draw the training history in the checkpoint, or in its run if that has more."""
    checkpoint = find_checkpoint(studio().checkpoint_root, manifest.ref.full_name)
    run = studio().output_dir / "runs" / manifest.name
    own_run = run if is_run_of(run, manifest.config) else None
    training = _read_training(checkpoint, own_run, stamp(checkpoint / "history", run))
    if not training.stages:
        text = f"This checkpoint has no training history, and {run} holds no run with its settings."
        st.info(escape_markdown(text))
        return
    stages = {stage.name: stage for stage in training.stages}
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    name = left.segmented_control(
        "Stage",
        list(stages),
        default=next(iter(stages)),
        required=True,
        key=f"model_stage {' '.join(stages)}",
        format_func=lambda name: escape_markdown(stage_title(name)),
        persist_state="session",
    )
    is_logarithmic = right.toggle("Logarithmic loss", key="model_log_scale", persist_state="session")
    stage = stages[name]
    origin = f"the log of the run in {training.folder}" if training.is_run else "the copy in the checkpoint"
    st.caption(escape_markdown(f"{len(stage.rows):,} log entries up to step {stage.last_step:,}, from {origin}."))
    figures = {}
    if curves := loss_curves(stage):
        figures["Loss"] = _overlay(curves, is_logarithmic=is_logarithmic)
    for curve in other_curves(stage):
        figures[curve.title] = figure = lines(curve)
        figure.update_layout(showlegend=False)
        figure.update_yaxes(title=None)  # the heading says it
    if terms := term_curve(stage):
        figures[terms.title] = lines(terms, log_y=True)
    grid = st.grid(2, min_column_width=320)
    for title, figure in figures.items():
        with grid.cell():
            st.markdown(f"**{escape_markdown(title)}**")
            draw(figure, f"model_curve {stage.name} {title}", height=260)
    _draw_previews(stage, manifest)


@st.cache_data(max_entries=4, show_spinner=False)
def _read_training(checkpoint: Path, run: Path | None, stamp: int) -> Training:  # noqa: ARG001 - read again when it changes
    return find_training(checkpoint, run)


def _overlay(curves: Sequence[Curve], *, is_logarithmic: bool) -> go.Figure:
    """Curves with x values of their own in one figure."""
    figure = lines(curves[0], log_y=is_logarithmic)
    for curve in curves[1:]:
        figure.add_traces(lines(curve).data)
    for name, look in LOOKS.items():
        figure.update_traces(line=look, selector={"name": name})
    return figure


def _draw_previews(stage: Stage, manifest: Manifest) -> None:
    st.markdown("**Previews during training**")
    previews = shown_previews(stage)
    if not previews:
        st.caption("No previews were kept.")
        return
    st.caption("Every preview uses the same noise or the same images, so differences come from the model alone.")
    gif = _animate(previews, max(path.stat().st_mtime_ns for path in previews.values()))
    st.image(gif, width="stretch", alt="Animation of the previews during training")
    st.download_button(
        "Animation as GIF", gif, f"{manifest.name}_{stage.name}.gif", "image/gif", key="model_gif", on_click="ignore"
    )
    with st.container(height=440, key="model_strip"):
        for step, path in previews.items():
            st.caption(f"Step {step:,}")
            st.image(str(path), width="stretch", alt=f"Preview at step {step:,}")


@st.cache_data(max_entries=4, show_spinner="Joining the previews")
def _animate(previews: dict[int, Path], modified_ns: int) -> bytes:  # noqa: ARG001 - drawn again when one changes
    return animate(previews)


# Speed

CHOICES, FIRST_CHOICES, REPEATS = (1, 2, 4, 8, 12, 20, 50, 100), (4, 8, 20), 3


def _draw_speed(manifest: Manifest) -> None:
    """Draw the button, the progress of a measurement, and its result beside that of the record."""
    job_key, recommended = f"model_speed_job {manifest.ref.sha256}", manifest.recommended
    most = manifest.few_steps.get(recommended.scheduler, max(CHOICES))  # a distilled scheduler has few
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    steps_key = f"model_speed_steps {most}"
    left.pills(
        f"Numbers of steps to measure; the recommended {recommended.num_inference_steps} are always included",
        [steps for steps in CHOICES if steps <= most],
        selection_mode="multi",
        key=steps_key,
        default=[steps for steps in FIRST_CHOICES if steps <= most],
        persist_state="session",
    )

    def make_work() -> Work:
        from xray_generator.experiments.inspection import probe_request, time_images

        steps = sorted(st.session_state[steps_key])
        return studio().task(time_images, probe_request(manifest), steps, REPEATS, checkpoint=manifest.ref.full_name)

    with right:
        start_button(
            "Measure here",
            job_key,
            make_work,
            key="model_measure",
            help=f"One image to warm up, then {REPEATS} for each number of steps.",
        )
    job = find_job(job_key)
    if job is not None and not job.is_over:
        draw_progress(job)
        st.caption("Times are reliable only while nothing else runs on this machine.")
        return
    if job is not None:
        draw_end(job)
    record = stored_times([entry.record for entry in load_records().entries], manifest.ref)
    here: Sequence[Measurement] = last_result(job_key) or ()
    timings = compare_times(here, record, recommended.scheduler)
    if not timings:
        st.info("No times yet. Press the button, or make a record: `python -m xray_generator.evaluate`.")
        return
    left, right = st.columns([1, 3], gap="medium")
    with left:
        if here:
            draw_tile(next(m for m in here if m.measure == "images_per_second"))
        machines = {"Here": next((timing.here for timing in timings if timing.here), None)}
        if record is None:
            st.caption("There is no record of these weights with times.")
        else:
            machines[f"Record of {record.created[:10]}"] = next((t.stored for t in timings if t.stored), None)
        for name, m in machines.items():
            if m is not None:
                st.caption(escape_markdown(f"{name}: {machine_text(m)}."))
    with right:
        draw(lines(time_curve(timings)), "model_times", 280)
    st.dataframe(
        _tabulate(timings, has_record=record is not None), hide_index=True, width="stretch", key="model_timings"
    )


def _tabulate(timings: Sequence[Timing], *, has_record: bool) -> dict[str, list[str]]:
    here = [timing.here for timing in timings]
    columns = {
        "Steps": [f"{timing.steps:,}" for timing in timings],
        "Network evaluations": [_count_evaluations(timing.here or timing.stored) for timing in timings],
    }
    if any(here):
        columns |= {
            "Median": [latency_text(m) or NOT_MEASURED for m in here],
            "Fastest": [latency_text(m, "fastest_ms") for m in here],
            "Slowest": [latency_text(m, "slowest_ms") for m in here],
            "Images": [f"{m.n:,}" if m else "" for m in here],
        }
    if has_record:
        columns["Record"] = [latency_text(timing.stored) or NOT_MEASURED for timing in timings]
    return columns


def _count_evaluations(m: Measurement | None) -> str:
    count = m.settings.get("network_evaluations") if m else None
    return f"{count:,}" if isinstance(count, int) else ""


main()
