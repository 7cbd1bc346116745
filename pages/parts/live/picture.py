"""The live picture: the newest that is drawn, how long it took, and what can be done with it."""

from __future__ import annotations

import streamlit as st

from pages.parts.checkpoint_picker import KEY as CHECKPOINT
from pages.parts.generator import prompt as generator_prompt
from pages.parts.generator import settings
from pages.parts.live.drawing import Answer, Drawing, find, follow
from pages.parts.live.ends import NAMES, use_as
from pages.parts.services import job_queue, plain, studio
from pages.parts.viewer import draw_viewer
from postprocess.presets import PRESETS
from xray_generator.export.pictures import pictures
from xray_generator.jobs import Job
from xray_generator.requests import describe_condition
from xray_generator.types import GenerationResult, Morph, StudioError, TextPrompt

PREFIX = "live"  # of the keys of a page's fields
JOB, SHOWN, OPEN_ERROR = f"{PREFIX}_job", f"{PREFIX}_shown", "live_open_error"
MIN_POLL_S, MAX_POLL_S = 0.3, 2.0
POLLS = 4  # to a picture: on a slow machine the looking must not hold up the drawing
SPACE_PX = 330  # what stands above and below the viewer


def draw_picture(drawing: Drawing | None, prefix: str = PREFIX) -> None:
    """Draw the picture that is asked for, or while it is not there, or nothing is asked, the one before."""
    shown_key = f"{prefix}_shown"
    shown = find(st.session_state.get(shown_key, ()))
    answer, error = Answer(None), ""
    try:
        if drawing is not None:
            answer = follow((drawing,), f"{prefix}_job", None if shown is None else shown[0].images[0])
    except StudioError as fault:
        error = str(fault)
    if answer.results is not None and drawing is not None:
        shown, st.session_state[shown_key] = answer.results, (drawing,)
    if shown is None:
        with st.container(border=True, height=380, vertical_alignment="center"):
            st.caption("The picture appears here.", text_alignment="center")
    else:
        draw_viewer({_label(shown[0]): shown[0].images[0]}, key=f"{prefix}_viewer", space_px=SPACE_PX)
    with st.container():  # always there, so that nothing below is built anew
        _draw_status(answer, shown[0] if shown else None, error)
    if shown is not None:
        _draw_actions(shown[0], prefix)


def _label(result: GenerationResult) -> str:
    if isinstance(result.origin, Morph):
        return f"{result.origin.weight:.2f} of the way from A to B"
    return describe_condition(result.request.condition)


def _draw_status(answer: Answer, shown: GenerationResult | None, error: str) -> None:
    job = answer.job
    if error or (job is not None and job.state == "failed"):
        st.error(plain(error or (job.error if job else "")))
    elif answer.results is None and job is not None:
        st.fragment(_watch, run_every=_poll_s(shown))(job.id)
    elif shown is not None:
        st.caption(_facts(shown))
        for note in shown.notes:
            st.warning(plain(note))


def _poll_s(shown: GenerationResult | None) -> float:
    """How often to look, by how long the last picture took; seldom for the first one: it waits for the model."""
    return min(MAX_POLL_S, max(MIN_POLL_S, shown.latencies_ms[0] / 1_000 / POLLS)) if shown else MAX_POLL_S / 2


def _watch(job_id: str) -> None:
    """Say what the picture waits for; when it is there, the page runs again."""
    job = job_queue().get(job_id)
    if job is None or job.is_over:
        st.rerun()
    st.caption(_progress(job))


def _progress(job: Job) -> str:
    if job.state == "queued":
        return f"Waiting: {job_queue().position(job)} before this one"
    return f"Drawing: step {job.step} of {job.total}" if job.step else f"Preparing the model ({job.seconds:.0f} s)"


def _facts(result: GenerationResult) -> str:
    request, (latency_ms,) = result.request, result.latencies_ms
    texts = [request.condition.text] if isinstance(request.condition, TextPrompt) else []
    count = request.num_inference_steps
    parts = [f"Drawn in **{latency_ms:,.0f} ms**", f"{count} step{'s'[: count != 1]} of {request.scheduler}"]
    if result.origin is None:
        parts.append(f"seed {request.seed}")
    unseen = [word for text in texts for word in studio().unseen_words(text, result.checkpoint.name)]
    if unseen:
        parts.append(f"never seen in training: {plain(', '.join(unseen))}")
    return " · ".join(parts)


def _draw_actions(result: GenerationResult, prefix: str) -> None:
    (picture,) = pictures(result, 0)
    with st.container(horizontal=True):
        st.download_button(
            "PNG",
            picture.png,
            picture.file_name,
            "image/png",
            key=f"{prefix}_png",
            on_click="ignore",
            icon=":material/download:",
            help="With its recipe inside.",
        )
        if result.origin is not None or not isinstance(result.request.condition, TextPrompt):
            return
        for name in NAMES:
            st.button(f"Use as {name}", key=f"live_use_{name}", on_click=use_as, args=(name, result.request))
        if (
            st.button(
                "Open in Generator",
                key="live_open",
                icon=":material/open_in_new:",
                on_click=_fill_generator,
                args=(result,),
            )
            and not st.session_state[OPEN_ERROR]
        ):
            st.switch_page("create/generate.py")
    if fault := st.session_state.pop(OPEN_ERROR, ""):
        st.error(plain(fault))


def _fill_generator(result: GenerationResult) -> None:
    state, request, name = st.session_state, result.request, result.checkpoint.name
    state[OPEN_ERROR] = ""
    assert isinstance(request.condition, TextPrompt)
    try:
        settings.fill(request, PRESETS[0].name, studio().manifest(name))
    except StudioError as error:
        state[OPEN_ERROR] = str(error)
        return
    state.update({CHECKPOINT: name, generator_prompt.KEY: request.condition.text})
