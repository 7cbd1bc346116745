"""A job's progress: place in the queue, step, time left, live preview and the cancel button."""

from __future__ import annotations

import streamlit as st

from pages.parts.services import job_queue, plain
from xray_generator.jobs import Job

POLL_S = 0.5
LONG_S = 120  # told in minutes from here


def draw_progress(job: Job) -> None:
    """Draw the panel of a job that is not over, and redraw it until it is; then the whole page runs again."""
    st.fragment(_panel, run_every=POLL_S)(job.id)


def draw_end(job: Job) -> None:
    """Say how a job that brought no result ended."""
    if job.state == "failed":
        st.error(plain(job.error))
    elif job.state == "cancelled":
        st.info(
            f"Cancelled at step {job.step:,} of {job.total:,}." if job.total else "Cancelled before the first step."
        )


def _panel(job_id: str) -> None:
    job = job_queue().get(job_id)
    if job is None or job.is_over:
        st.rerun()
    text, button = st.columns([3, 1], vertical_alignment="center")
    text.progress(job.step / job.total if job.total else 0.0, _status(job))
    is_ending = job.cancel_requested.is_set()
    button.button(
        "Cancelling" if is_ending else "Cancel",
        key="cancel",
        on_click=job_queue().cancel,
        args=(job,),
        shortcut="Escape",
        disabled=is_ending,
        width="stretch",
    )
    if job.preview is not None:
        st.image(
            job.preview,
            "Synthetic. Preview of the present estimate.",
            output_format="PNG",
            alt="Live preview",
        )


def _status(job: Job) -> str:
    if job.state == "queued":
        return f"Waiting: {job_queue().position(job)} before this one"
    if not job.step:
        return f"Preparing the model ({job.seconds:.0f} s)"
    return f"Step {job.step:,} of {job.total:,}{_left(job.eta_s)}"


def _left(eta_s: float | None) -> str:
    if eta_s is None:
        return ""
    return f", about {eta_s:.0f} s left" if eta_s < LONG_S else f", about {eta_s / 60:.0f} min left"
