"""Edit: the same patient with and without a finding, before and after, and what a classifier of real films makes of it."""

from __future__ import annotations

from functools import partial
from typing import TypeVar

import streamlit as st

from pages.parts.checkpoint_picker import pick_checkpoint
from pages.parts.edit import settings
from pages.parts.edit.repeated import draw_repeated
from pages.parts.edit.result import draw_result
from pages.parts.edit.source import draw_upload, pick_kind
from pages.parts.edit.words import draw_words
from pages.parts.edit.work import Editor
from pages.parts.progress import draw_end, draw_progress
from pages.parts.services import job_queue, plain, studio, warm
from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.edit_runs import Counterfactual, Repeated, edit_many, edit_once
from xray_generator.jobs import Job, Work
from xray_generator.types import Image, StudioError

JOB, ONE, MANY, COUNT = "edit_job", "edit_one", "edit_many", "edit_count"  # session_state: job ids
COUNTS = (4, 8, 16)
Found = TypeVar("Found", Counterfactual, Repeated)
ONE_TAB, MANY_TAB = "One patient", "Many patients"


def main() -> None:
    """Draw the form on the left and its result on the right."""
    form, result = st.columns([2, 3], gap="medium")
    job = job_queue().get(st.session_state.get(JOB, ""))
    with form:
        try:
            manifest = pick_checkpoint(prompted=True)
            _draw_form(manifest, is_running=job is not None and not job.is_over)
        except (StudioError, OSError) as error:
            st.error(plain(error))
            return
    with result:
        _draw_right(job)
    warm(manifest.name)


def _draw_form(manifest: Manifest, *, is_running: bool) -> None:
    is_upload = pick_kind()
    source = draw_upload() if is_upload else None
    draw_words(manifest, is_upload=is_upload)
    is_missing = is_upload and source is None
    st.button(
        "Edit",
        key="edit",
        type="primary",
        shortcut="Ctrl+Enter",
        width="stretch",
        disabled=is_running or is_missing,
        help="Upload an image first." if is_missing else None,
        on_click=_submit,
        args=(manifest, source, 1),
        kwargs={"is_upload": is_upload},
    )
    with st.container():  # always there, so that a message does not build the fields below anew
        if message := st.session_state.pop(settings.ERROR, ""):
            st.error(plain(message))
    settings.draw_settings(manifest, is_upload=is_upload)
    if not is_upload:
        _draw_repeat(manifest, is_running=is_running)


def _draw_repeat(manifest: Manifest, *, is_running: bool) -> None:
    count, repeat = st.columns([2, 3], vertical_alignment="bottom")
    st.session_state.setdefault(COUNT, COUNTS[-1])
    number = count.segmented_control(
        "Generated patients",
        COUNTS,
        required=True,
        key=COUNT,
        persist_state="session",
        help="One patient shows; many tell whether the finding acts and leaves the rest alone. Their seeds follow on.",
    )
    repeat.button(
        f"Repeat over {number} patients",
        key="edit_repeat",
        width="stretch",
        disabled=is_running,
        on_click=_submit,
        args=(manifest, None, number),
        kwargs={"is_upload": False},
    )


def _submit(manifest: Manifest, source: Image | None, count: int, *, is_upload: bool) -> None:
    try:
        request, edit = settings.read_request(manifest, is_upload=is_upload), settings.read_edit(is_upload=is_upload)
        draw, classifiers = Editor(manifest, source, edit), (studio().encoder_root, studio().device)
        work: Work
        if count == 1:
            work = partial(edit_once, draw, request, edit, *classifiers)
        else:
            work = partial(edit_many, draw, request, edit, count, *classifiers)
        st.session_state[JOB] = job_queue().submit(work).id
    except StudioError as error:
        st.session_state[settings.ERROR] = str(error)


def _draw_right(job: Job | None) -> None:
    if job is not None and not job.is_over:
        draw_progress(job)
        return
    if job is not None:
        draw_end(job)
    one, many = _found(job, ONE, Counterfactual), _found(job, MANY, Repeated)
    if one is None and many is None:
        if JOB in st.session_state and job is None:
            st.info("This result is no longer in memory. Edit once more.")
        elif job is None:
            with st.container(border=True, height=480, vertical_alignment="center"):
                st.caption("Before, after and the difference appear here.", text_alignment="center")
        return
    names = [name for name, found in ((ONE_TAB, one), (MANY_TAB, many)) if found is not None]
    latest = MANY_TAB if many is not None and job is not None and job.result is many else names[0]
    tabs = dict(zip(names, st.tabs(names, default=latest), strict=True))
    if one is not None:
        with tabs[ONE_TAB]:
            draw_result(one)
    if many is not None:
        with tabs[MANY_TAB]:
            draw_repeated(many)


def _found(job: Job | None, key: str, kind: type[Found]) -> Found | None:
    """The last result of a kind that is still in memory."""
    if job is not None and isinstance(job.result, kind):
        st.session_state[key] = job.id
    kept = job_queue().get(st.session_state.get(key, ""))
    return kept.result if kept is not None and isinstance(kept.result, kind) else None


main()
