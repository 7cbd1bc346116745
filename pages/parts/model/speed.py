"""How fast a model draws, measured on this machine when asked: the button, the progress, the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st
from pages.parts.record.picker import load_records

from pages.parts.model.engine import Drawer
from pages.parts.model.timings import draw_timings
from pages.parts.progress import POLL_S, draw_end
from pages.parts.services import job_queue, plain, studio
from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.timings import stored_times
from xray_generator.evaluation.records import Measurement
from xray_generator.jobs import Job
from xray_generator.registry import get_family
from xray_generator.studio import Studio
from xray_generator.types import OnStep, StudioError

CHOICES, FIRST_CHOICES, REPEATS = (1, 2, 4, 8, 12, 20, 50, 100), (4, 8, 20), 3
STEPS, ERROR = "model_speed_steps", "model_speed_error"


def draw_speed(manifest: Manifest) -> None:
    """Draw the button, the progress of a measuring, and its result beside the record."""
    key = f"model_speed_job {manifest.ref.sha256}"
    job = job_queue().get(st.session_state.get(key, ""))
    is_running = job is not None and not job.is_over
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    recommended = manifest.recommended.num_inference_steps
    most = manifest.few_steps.get(manifest.recommended.scheduler, max(CHOICES))  # a distilled one has few
    steps_key = f"{STEPS} {most}"
    left.pills(
        f"Steps to time; the recommended {plain(recommended)} are always among them",
        [steps for steps in CHOICES if steps <= most],
        selection_mode="multi",
        key=steps_key,
        default=[steps for steps in FIRST_CHOICES if steps <= most],
        persist_state="session",
    )
    right.button(
        "Measure here",
        key="model_measure",
        type="primary",
        width="stretch",
        disabled=is_running,
        on_click=_submit,
        args=(manifest, key, steps_key),
        help=f"One image to warm up, and {REPEATS} for each number of steps.",
    )
    if message := st.session_state.pop(ERROR, ""):
        st.error(plain(message))
    if job is not None and is_running:
        st.fragment(_panel, run_every=POLL_S)(job.id)
    elif job is not None:
        draw_end(job)
    here: Sequence[Measurement] = job.result if job is not None and job.state == "done" else ()
    if is_running:
        st.caption("Times are true only while nothing else works on this machine.")
        return
    records = [entry.record for entry in load_records().entries]
    draw_timings(manifest, here, stored_times(records, manifest.ref))


def _submit(manifest: Manifest, key: str, steps_key: str) -> None:
    try:
        st.session_state[key] = job_queue().submit(_work(manifest, sorted(st.session_state[steps_key]), studio())).id
    except StudioError as error:
        st.session_state[ERROR] = str(error)


def _work(manifest: Manifest, steps: Sequence[int], studio_: Studio) -> Callable[[OnStep], tuple[Measurement, ...]]:
    drawer = Drawer(manifest)

    def work(on_step: OnStep) -> tuple[Measurement, ...]:
        engine = studio_.engine(manifest.ref.full_name)
        from xray_generator.dashboards.model_report import probe_request, time_images

        request = probe_request(manifest, get_family(manifest.family).condition)
        return time_images(engine, drawer, request, steps, REPEATS, on_step)

    return work


def _panel(job_id: str) -> None:
    job = job_queue().get(job_id)
    if job is None or job.is_over:
        st.rerun()
    text, button = st.columns([3, 1], vertical_alignment="center")
    text.progress(job.step / job.total if job.total else 0.0, _status(job))
    is_ending = job.cancel_requested.is_set()
    button.button(
        "Cancelling" if is_ending else "Cancel",
        key="model_cancel",
        on_click=job_queue().cancel,
        args=(job,),
        disabled=is_ending,
        width="stretch",
    )


def _status(job: Job) -> str:
    if job.state == "queued":
        return f"Waiting: {job_queue().position(job)} before this one"
    return f"Sampling step {job.step:,} of {job.total:,}" if job.step else "Preparing the model"
