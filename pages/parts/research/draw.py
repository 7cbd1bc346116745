"""More images of a condition: one for the caption of each of some real films, drawn in the queue and kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from pages.parts.progress import draw_end, draw_progress
from pages.parts.services import job_queue, plain, studio
from postprocess.presets import PRESETS
from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.prompts import condition_title, is_of
from xray_generator.dashboards.side_by_side import even
from xray_generator.data.rows import Row
from xray_generator.jobs import Job
from xray_generator.requests import text_request
from xray_generator.studio import Studio
from xray_generator.types import MAX_SEED, GenerationRequest, OnStep, Preview, StudioError

JOB, COUNT, SEED, ERROR = "research_job", "research_count", "research_seed", "research_draw_error"
POPOVER = "research_popover"  # True: open
MOST_DRAWN = 32
MAX_FIELD_SEED = MAX_SEED - MOST_DRAWN


def current_job() -> Job | None:
    """The session's drawing, where there is one and it is not over."""
    job = job_queue().get(st.session_state.get(JOB, ""))
    return None if job is None or job.is_over else job


def draw_job() -> None:
    """Draw the progress of the session's drawing, or how it ended where it brought nothing."""
    job = job_queue().get(st.session_state.get(JOB, ""))
    if job is not None and not job.is_over:
        draw_progress(job)
    elif job is not None:
        draw_end(job)
    if message := st.session_state.pop(ERROR, ""):
        st.error(plain(message))


def draw_more(manifest: Manifest, rows: Sequence[Row], condition: str, next_seed: int) -> None:
    """Draw the fields and the button."""
    fitting = [row for row in rows if row.prompt and is_of(row, condition)]
    if not fitting:
        st.caption("No real film of this condition has a caption to draw from.")
        return
    count = int(st.number_input("How many", 1, MOST_DRAWN, 4, key=COUNT))
    first = min(next_seed, MAX_FIELD_SEED)  # a seed drawn already would make the same image again
    seed = int(st.number_input("First seed", 0, MAX_FIELD_SEED, first, key=f"{SEED}_{first}"))
    prompts = [row.prompt for row in even(fitting, count)]
    asked = [prompts[i % len(prompts)] for i in range(count)]
    st.caption(
        plain(
            f"Condition: {condition_title(condition)}. An image for the caption of each of {len(prompts)} real films, "
            f"spread over the {len(fitting):,} that have one; seeds {seed} to {seed + count - 1}."
        )
    )
    with st.container(height=140):
        st.text("\n".join(asked))
    st.button(
        f"Draw {count}",
        key="research_draw",
        type="primary",
        disabled=current_job() is not None,
        on_click=_submit,
        args=(manifest, tuple(asked), seed),
    )


def _submit(manifest: Manifest, prompts: Sequence[str], seed: int) -> None:
    st.session_state[POPOVER] = False  # it would cover the progress
    try:
        requests = [text_request(text, seed=seed + i, size=manifest.sizes[0]) for i, text in enumerate(prompts)]
        st.session_state[JOB] = job_queue().submit(partial(_draw_all, studio(), requests, manifest.name)).id
    except StudioError as error:
        st.session_state[ERROR] = str(error)


def _draw_all(maker: Studio, requests: Sequence[GenerationRequest], checkpoint: str, on_step: OnStep) -> int:
    """The work of the job: each image is saved when it is drawn, so that a cancelled job keeps what it has."""
    for done, request in enumerate(requests):

        def report(step: int, total: int, preview: Preview, done: int = done) -> None:
            on_step(done * total + step, len(requests) * total, preview)

        maker.make(request, checkpoint, PRESETS[0], report)
    return len(requests)
