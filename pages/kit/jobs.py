"""The job panel: a button that starts a job, its progress with preview, time left and cancel, and its result.

The session keeps a job's id under the key that the page gives it; the queue keeps the job itself. Beside it the session
keeps the id of the last job that brought a result, so that a canceled or failed one does not take the result away. A
page that was loaded again finds both by their key among the jobs of its person.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from itertools import takewhile
from typing import Any, Literal

import streamlit as st

from pages.kit.person import person
from pages.kit.services import count_text, draw_fault, escape_markdown, job_queue
from xray_generator.evaluation.summary import rough_time
from xray_generator.jobs import Job, Work
from xray_generator.orders import DrawOrder
from xray_generator.types import StudioError

POLL_S = 0.5
PREVIEW_PX = 160  # beside a result, which needs the room
NO_KEY = "\0"  # begins no key
NEXT = "Waiting. Next in line; another job is running"
NO_WORKER = "Waiting for a worker. None is running now"  # of a broker


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
        args=(job_key, make_work, title),
        **(defaults | options),
    )
    draw_error(job_key)


def start_job(job_key: str, work: Work | DrawOrder, title: str = "", num_images: int = 1) -> None:
    """Submit work or an order under a key; `title` and `num_images` are those of `Job`.

    Where the queue is full, the error is kept for the panel to show.
    """
    with keep_error(job_key):
        job = job_queue().submit(work, owner=person(), key=job_key, title=title, num_images=num_images)
        st.session_state[job_key] = job.id


def find_job(job_key: str) -> Job | None:
    """The latest job under a key, while the queue holds it."""
    return _find_kept(job_key, job_key)


def is_running(job_key: str) -> bool:
    """Whether the latest job under a key waits or runs."""
    job = find_job(job_key)
    return job is not None and not job.is_over


def last_result(job_key: str) -> Any:  # noqa: ANN401 - what the work returned
    """The result of the last job under a key that succeeded; None where there is none, or none in memory any more."""
    job = find_job(job_key)
    if job is not None and job.state == "done":
        st.session_state[f"{job_key}_done"] = job.id
    done = _find_kept(f"{job_key}_done", job_key, is_done=True)
    return None if done is None else done.result


def _find_kept(session_key: str, job_key: str, *, is_done: bool = False) -> Job | None:
    """The job whose id the session keeps; in a session that keeps none the person's latest, of those that are done."""
    if session_key not in st.session_state:
        for job in job_queue().find(person(), job_key):
            if job.state == "done" or not is_done:
                st.session_state[session_key] = job.id
    return job_queue().get(st.session_state.get(session_key, ""))


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


def draw_line(prefix: str, job_key: str, *, has_result: bool) -> None:
    """Draw what runs and what waits of this person's jobs whose keys begin with a prefix, and keep it current.

    A preview is drawn of the jobs under one key, small where their results are drawn below. When a job ends, or one
    more of its images is finished, the whole page runs again.
    """
    if jobs := _list_line(prefix):
        st.fragment(_draw_line, run_every=POLL_S)(prefix, job_key, _describe_line(jobs), has_result=has_result)


def draw_queue(without: str = NO_KEY) -> None:
    """Draw a list of this person's jobs that wait or run, asked on whatever page, and keep it current.

    Those whose keys begin with `without` are left out: the page shows them itself.
    """
    if _list_queue(without):
        st.fragment(_draw_queue, run_every=2 * POLL_S)(without)


def _list_queue(without: str) -> list[Job]:
    return [job for job in _list_line("") if not job.key.startswith(without)]


def _draw_queue(without: str) -> None:
    jobs = _list_queue(without)
    if not jobs:
        st.rerun()  # the whole page, which ends the looking
    with st.popover(f"Queue: {count_text(len(jobs), 'job')}", key="queue", icon=":material/pending_actions:"):
        for job in jobs:
            _draw_job(job, job.title, place="queue")


def _list_line(prefix: str) -> list[Job]:
    """The jobs of this person that are not over, the running one first, the others as they wait."""
    mine = (job for job in job_queue().find(person()) if not job.is_fleeting and not job.is_over)
    jobs = [job for job in mine if job.key.startswith(prefix)]
    return sorted(jobs, key=lambda job: (job.state == "queued", job_queue().position(job)))


def _describe_line(jobs: Collection[Job]) -> dict[str, int]:
    return {job.id: job.num_done for job in jobs}


def _draw_line(prefix: str, job_key: str, before: dict[str, int], *, has_result: bool) -> None:
    jobs = _list_line(prefix)
    if _describe_line(jobs) != before:
        st.rerun()
    for job in jobs:
        _draw_job(job, job.title)
    for job in jobs:  # below all of the line, which a large preview would push off the screen
        if job.key == job_key:
            _draw_preview(job, is_small=has_result)


def draw_ends(job_key: str) -> None:
    """Say how the jobs under a key ended since one last brought its result; of those that were canceled, the last."""
    over = sorted((job for job in job_queue().find(person(), job_key) if job.is_over), key=lambda job: -job.finished)
    for index, job in enumerate(takewhile(lambda job: job.state != "done", over)):
        if job.error or job.num_done or not index:
            draw_end(job)


def draw_end(job: Job) -> None:
    """Say how a job ended that brought no result, or not all of it."""
    if job.state == "failed":
        draw_fault(f"{job.error}{_count_kept(job)}")
    elif job.state == "canceled":
        at = f"Canceled at step {job.step:,} of {job.total:,}." if job.total else "Canceled before it started."
        st.info(escape_markdown(f"{job.error or at}{_count_kept(job)}"))


def _count_kept(job: Job) -> str:
    if not job.num_done or job.num_images == 1:  # of other work the page says how far it came
        return ""
    return f" {job.num_done:,} of {job.num_images:,} images are finished and kept."


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
            draw_fault(message)


def describe_progress(job: Job) -> str:
    """Whether a job waits, loads or runs, in words; of the first its place, of the last the step and the time left."""
    if job.state == "queued":
        if job_queue().lacks_workers(job):
            return NO_WORKER
        ahead = job_queue().position(job)
        return f"Waiting. {ahead + 1} jobs ahead" if ahead else NEXT  # with the one that runs
    if not job.step:
        return f"{'Running. First step' if job.is_loaded else 'Loading the model'} ({job.seconds:.0f} s)"
    step, total, image = job.step, job.total, ""
    if job.num_images > 1:
        total //= job.num_images
        index = (job.step - 1) // total
        step -= index * total
        image = f"image {index + 1:,} of {job.num_images:,}, "
    left = "" if job.eta_s is None else f", about {rough_time(job.eta_s)} left"
    return f"Running. {f'{image}step {step:,} of {total:,}'.capitalize()}{left}"


def _make_and_start(job_key: str, make_work: Callable[[], Work], title: str) -> None:
    with keep_error(job_key):
        start_job(job_key, make_work(), title)


def _draw_panel(job_id: str) -> None:
    job = job_queue().get(job_id)
    if job is None or job.is_over:
        st.rerun()
    _draw_job(job)
    _draw_preview(job)


def _draw_job(job: Job, title: str = "", place: str = "") -> None:
    text, button = st.columns([3, 1], vertical_alignment="center")
    said = escape_markdown(": ".join(filter(None, (title, describe_progress(job)))))
    text.progress(job.step / job.total if job.total else 0.0, said)
    is_ending = job.cancel_requested.is_set()
    button.button(
        "Canceling" if is_ending else "Cancel",
        key=f"cancel {job.id} {place}".strip(),
        on_click=job_queue().cancel,
        args=(job,),
        shortcut="Escape" if job.state == "running" and not place else None,
        disabled=is_ending,
        width="stretch",
    )


def _draw_preview(job: Job, *, is_small: bool = False) -> None:
    if job.preview is not None and job.preview.size > 1:  # a single pixel: work without previews
        width: Literal["stretch"] | int = PREVIEW_PX if is_small else "stretch"
        st.image(job.preview, "Synthetic. Preview (not final).", width, output_format="PNG", alt="Live preview")
