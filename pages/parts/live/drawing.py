"""What the Live page asks to be drawn: one job of a kind per session, the newest, and answers kept by what was asked.

A newer request cancels the older one, so that nothing piles up before the one worker that all visitors share.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

import streamlit as st

from pages.parts.services import job_queue, studio
from xray_generator.jobs import Job
from xray_generator.studio import Studio
from xray_generator.types import CheckpointRef, GenerationRequest, GenerationResult, Image, Morph, OnStep, Preview

MAX_KEPT = 64  # plans whose pictures stay in memory, for all sessions
WAIT_S, LOOK_S = 0.25, 0.01  # a picture that is drawn within this time needs no second run of the page


@dataclass(frozen=True, slots=True)
class Drawing:
    """One picture: everything that its pixels depend on."""

    checkpoint: CheckpointRef
    request: GenerationRequest
    morph: Morph | None = None

    def draw(self, studio_: Studio, on_step: OnStep) -> GenerationResult:
        """Draw it. StudioError where the checkpoint cannot."""
        if self.morph is None:
            return studio_.generate(self.request, self.checkpoint.name, on_step)
        return studio_.morph(self.request, self.morph, self.checkpoint.name, on_step)


Plan = tuple[Drawing, ...]
Results = tuple[GenerationResult, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a session last asked for, and the job that draws it."""

    job_id: str
    plan: Plan


@dataclass(frozen=True, slots=True)
class Answer:
    """The pictures of a plan, or the job that they wait for, which may have failed."""

    results: Results | None
    job: Job | None = None


class NotDrawn(Exception):  # noqa: N818 - an answer, not an error
    """A plan's pictures are not there; raised, so that this answer is not kept."""


def between(checkpoint: CheckpointRef, first: GenerationRequest, second: GenerationRequest, weight: float) -> Drawing:
    """The picture at a weight from 0, exactly the first, to 1, exactly the second."""
    if weight in (0, 1):
        return Drawing(checkpoint, second if weight else first)
    return Drawing(checkpoint, first, Morph(second, weight))


def follow(plan: Plan, key: str, before: Image | None) -> Answer:
    """The pictures of a plan where they are there soon; else its job, the only one of this session under `key`.

    `before` is what is shown until then: previews would cost more than the few steps of a live picture.

    Raises:
        StudioError: the queue is full.
    """
    asked: Asked | None = st.session_state.get(key)
    job = asked_job(key)
    if asked is not None and job is not None and asked.plan != plan:
        job_queue().cancel(job)
        job = None
    if (results := find(plan, job)) is not None:
        return Answer(results)
    if job is None or job.state == "cancelled":
        job = submit(plan, key, before, is_fleeting=True)
    deadline = time.monotonic() + WAIT_S
    while not job.is_over and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    return Answer(find(plan, job), job)


def submit(plan: Plan, key: str, before: Image | None = None, *, is_fleeting: bool = False) -> Job:
    """Ask for a plan. StudioError where the queue is full."""
    job = job_queue().submit(partial(_draw_plan, studio(), plan, before), is_fleeting=is_fleeting)
    st.session_state[key] = Asked(job.id, plan)
    return job


def asked_job(key: str) -> Job | None:
    """The job that this session last asked for, while the queue knows it."""
    asked: Asked | None = st.session_state.get(key)
    return None if asked is None else job_queue().get(asked.job_id)


def find(plan: Plan, job: Job | None = None) -> Results | None:
    """The pictures of a plan, if someone had them drawn, or if `job` did."""
    try:
        return _kept(plan, job)
    except NotDrawn:
        return None


@st.cache_data(max_entries=MAX_KEPT, show_spinner=False)
def _kept(plan: Plan, _job: Job | None) -> Results:  # noqa: ARG001 - the plan is the key
    if _job is None or _job.state != "done":
        raise NotDrawn
    results: Results = _job.result
    return results


def _draw_plan(studio_: Studio, plan: Plan, before: Image | None, on_step: OnStep) -> Results:
    results = []
    for index, drawing in enumerate(plan):

        def step(done: int, total: int, preview: Preview, index: int = index) -> None:
            on_step(index * total + done, len(plan) * total, preview if before is None else lambda: before)

        results.append(drawing.draw(studio_, step))
    return tuple(results)
