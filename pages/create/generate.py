"""Generator: a prompt or a class becomes images, with progress, cancel, and the recipe inside every download."""

from __future__ import annotations

from functools import partial

import streamlit as st

from pages.parts.checkpoint_picker import pick_checkpoint
from pages.parts.generator import settings
from pages.parts.generator.condition import draw_condition
from pages.parts.generator.restore import draw_restore, draw_restored, forget
from pages.parts.generator.results import RESULT, draw_result, select
from pages.parts.progress import draw_end, draw_progress
from pages.parts.services import job_queue, plain, studio, warm
from postprocess.presets import Preset
from xray_generator.checkpoints import Manifest
from xray_generator.jobs import Job
from xray_generator.types import StudioError

JOB, ERROR = "job", "form_error"  # session_state: job ids only, results stay in the queue


def main() -> None:
    """Draw the form on the left and its result on the right."""
    form, result = st.columns([2, 3], gap="medium")
    job = _latest_job()
    with form:
        try:
            manifest = pick_checkpoint()
            preset = _draw_form(manifest, is_running=job is not None and not job.is_over)
        except StudioError as error:
            st.error(plain(error))
            return
    with result:
        _draw_right(job, preset)
    warm(manifest.name)


def _draw_form(manifest: Manifest, *, is_running: bool) -> Preset:
    draw_condition(manifest)
    st.button(
        "Generate",
        key="generate",
        type="primary",
        shortcut="Ctrl+Enter",
        width="stretch",
        disabled=is_running,
        on_click=_submit,
        args=(manifest,),
    )
    with st.container():  # always there, so that a message does not build the fields below anew
        if message := st.session_state.pop(ERROR, ""):  # said once: the next change may mend it
            st.error(plain(message))
        draw_restored()
    preset, free_place = settings.draw_settings(manifest)
    with free_place.popover("From a PNG", width="stretch", help="Fill the form from the recipe inside an image."):
        draw_restore()
    return preset


def _submit(manifest: Manifest) -> None:
    try:
        request = settings.read_request(manifest)
        work = partial(studio().make, request, manifest.name, settings.chosen_preset())
        st.session_state[JOB] = job_queue().submit(work).id
        select(0)
        forget()
    except StudioError as error:
        st.session_state[ERROR] = str(error)


def _latest_job() -> Job | None:
    job = job_queue().get(st.session_state.get(JOB, ""))
    if job is not None and job.state == "done":
        st.session_state[RESULT] = job.id
    return job


def _draw_right(job: Job | None, preset: Preset) -> None:
    if job is not None and not job.is_over:
        draw_progress(job)
        return
    if job is not None:
        draw_end(job)
    shown = job_queue().get(st.session_state.get(RESULT, ""))
    if shown is not None:
        draw_result(shown.result, preset)
    elif JOB in st.session_state and job is None:
        st.info(f"This result is no longer in memory. Its images are in {plain(studio().generated_dir)}.")
    elif job is None:
        with st.container(border=True, height=480, vertical_alignment="center"):
            st.caption("The images appear here.", text_alignment="center")


main()
