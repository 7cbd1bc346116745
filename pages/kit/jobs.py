"""The job panel: a button that starts a job, its progress with preview, time left and cancel, and its result.

The session keeps a job's id under the key that the page gives it; the queue keeps the job itself. Beside it the session
keeps the id of the last job that brought a result, so that a canceled or failed one does not take the result away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import streamlit as st

from pages.kit.services import escape_markdown, job_queue
from xray_generator.jobs import Job, Work
from xray_generator.types import StudioError

POLL_S = 0.5
LONG_S = 120  # times from here on are given in minutes
NEXT = "Next in line; another job is finishing"


def start_button(
    title: str,
    job_key: str,
    make_work: Callable[[], Work],
    *,
    key: str,
    disabled: bool = False,
    **options: Any,  # noqa: ANN401 - those of st.button
) -> None:
    """Draw a button that submits `make_work()` under `job_key`, and below it the StudioError of the last attempt.

    The button is disabled while the job runs. `key` names the widget; `options` are those of `st.button`.
    """
    defaults = {"type": "primary", "width": "stretch"}
    st.button(
        title,
        key=key,
        disabled=disabled or is_running(job_key),
        on_click=_make_and_start,
        args=(job_key, make_work),
        **(defaults | options),
    )
    draw_error(job_key)


def start_job(job_key: str, work: Work) -> None:
    """Submit work under a key. Where the queue is full, the error is kept for the panel to show."""
    with keep_error(job_key):
        st.session_state[job_key] = job_queue().submit(work).id


def find_job(job_key: str) -> Job | None:
    """The latest job under a key, while the queue holds it."""
    return job_queue().get(st.session_state.get(job_key, ""))


def is_running(job_key: str) -> bool:
    """Whether the latest job under a key waits or runs."""
    job = find_job(job_key)
    return job is not None and not job.is_over


def last_result(job_key: str) -> Any:  # noqa: ANN401 - what the work returned
    """The result of the last job under a key that succeeded; None where there is none, or none in memory any more."""
    job = find_job(job_key)
    if job is not None and job.state == "done":
        st.session_state[f"{job_key}_done"] = job.id
    done = job_queue().get(st.session_state.get(f"{job_key}_done", ""))
    return None if done is None else done.result


def draw_job(
    job_key: str, hint: str, height: int = 380, *, lost: str = "This result is no longer in memory. Start it again."
) -> Any:  # noqa: ANN401 - what the work returned
    """Draw how the job under a key stands; return its result once it is done, or that of the one before.

    While a job waits or runs, its progress is drawn and None is returned. Without a job, `hint` is drawn in an empty
    frame of `height` pixels. `lost` is said where the queue has dropped the result.
    """
    job = find_job(job_key)
    draw_error(job_key)
    if job is not None and not job.is_over:
        draw_progress(job)
        return None
    if job is not None:
        draw_end(job)
    result = last_result(job_key)
    if result is None and job is None:
        if job_key in st.session_state:
            st.info(escape_markdown(lost))
        else:
            draw_hint(hint, height)
    return result


def draw_hint(hint: str, height: int = 380) -> None:
    """Draw an empty frame that says what will appear in it."""
    with st.container(border=True, height=height, vertical_alignment="center"):
        st.caption(hint, text_alignment="center")


def draw_progress(job: Job) -> None:
    """Draw the progress of a job that is not over, and keep it current; when it ends, the whole page runs again."""
    st.fragment(_draw_panel, run_every=POLL_S)(job.id)


def draw_end(job: Job) -> None:
    """Say how a job ended that brought no result."""
    if job.state == "failed":
        st.error(escape_markdown(job.error))
    elif job.state == "canceled":
        st.info(f"Canceled at step {job.step:,} of {job.total:,}." if job.total else "Canceled before it started.")


@contextmanager
def keep_error(job_key: str) -> Iterator[None]:
    """Keep a StudioError of the block, which runs in a callback, until `draw_error` shows it."""
    try:
        yield
    except StudioError as error:
        st.session_state[f"{job_key}_error"] = str(error)


def draw_error(job_key: str) -> None:
    """Show the error that was kept under a key, once: the next change may resolve it."""
    with st.container():  # always there, so that a message does not rebuild the fields below
        if message := st.session_state.pop(f"{job_key}_error", ""):
            st.error(escape_markdown(message))


def describe_progress(job: Job) -> str:
    """Place in the queue, or step and time left, in words."""
    if job.state == "queued":
        ahead = job_queue().position(job)
        return f"Waiting, {ahead} {'job' if ahead == 1 else 'jobs'} ahead" if ahead else NEXT
    if not job.step:
        return f"{'Model loaded, first step' if job.is_loaded else 'Loading the model'} ({job.seconds:.0f} s)"
    step = f"Step {job.step:,} of {job.total:,}"
    return step if job.eta_s is None else f"{step}, about {rough_time(job.eta_s)} left"


def rough_time(seconds: float) -> str:
    """A time to be waited for: "36 s", "4 min"."""
    return f"{max(1, seconds):.0f} s" if seconds < LONG_S else f"{seconds / 60:.0f} min"


def _make_and_start(job_key: str, make_work: Callable[[], Work]) -> None:
    with keep_error(job_key):
        start_job(job_key, make_work())


def _draw_panel(job_id: str) -> None:
    job = job_queue().get(job_id)
    if job is None or job.is_over:
        st.rerun()
    text, button = st.columns([3, 1], vertical_alignment="center")
    text.progress(job.step / job.total if job.total else 0.0, describe_progress(job))
    is_ending = job.cancel_requested.is_set()
    button.button(
        "Canceling" if is_ending else "Cancel",
        key="cancel",
        on_click=job_queue().cancel,
        args=(job,),
        shortcut="Escape",
        disabled=is_ending,
        width="stretch",
    )
    if job.preview is not None and job.preview.size > 1:  # a single pixel: work without previews
        st.image(job.preview, "Synthetic. Preview of the unfinished image.", output_format="PNG", alt="Live preview")
