"""Likelihood: how probable a model holds an image, beside real slices that it judged before."""

from __future__ import annotations

from functools import partial

import streamlit as st

from pages.parts.checkpoint_picker import pick_checkpoint
from pages.parts.likelihood.image import pick_image
from pages.parts.likelihood.result import draw_known, draw_result
from pages.parts.progress import draw_end, draw_progress
from pages.parts.sampling import field
from pages.parts.services import job_queue, plain, studio
from xray_generator.checkpoints import Manifest
from xray_generator.export.archive import Source
from xray_generator.types import StudioError

NONE = ""  # no class in particular
WHAT_IT_IS = (
    "A flow turns noise into an image along a way that can be gone back, and so tells how probable it holds any image."
)


def main() -> None:
    """Draw the choice on the left and its result on the right."""
    st.caption(WHAT_IT_IS)
    form, result = st.columns([2, 3], gap="medium")
    with form:
        try:
            manifest = pick_checkpoint(judging=True)
        except StudioError as error:
            st.error(plain(error))
            return
        source = _pick_image(manifest)
        label = _pick_class(manifest)
        key = f"likelihood {manifest.ref.sha256} {source.digest if source else 'nothing'} {label}"
        job = job_queue().get(st.session_state.get(key, ""))
        st.button(
            "Classifier",
            key="classifier",
            type="primary",
            width="stretch",
            shortcut="Ctrl+Enter",
            on_click=_submit,
            args=(manifest, source, label, key),
            disabled=source is None or (job is not None and not job.is_over),
        )
    with result:
        if job is None or source is None:
            draw_known(manifest)
        elif not job.is_over:
            draw_progress(job)
        elif job.state == "done":
            draw_result(job.result, manifest, label, is_synthetic=source.is_synthetic)
        else:
            draw_end(job)


def _pick_image(manifest: Manifest) -> Source | None:
    try:
        return pick_image(manifest)
    except (StudioError, OSError) as error:
        st.error(plain(error))
        return None


def _pick_class(manifest: Manifest) -> str:
    label: str = st.pills(
        "Classifier it as",
        [NONE, *manifest.labels],
        default=NONE,
        key=field("judged_as", manifest.name),
        required=True,
        persist_state="session",
        format_func=lambda label: label.replace("_", " ") or "no class in particular",
    )
    return label


def _submit(manifest: Manifest, source: Source, label: str, key: str) -> None:
    work = partial(studio().likelihood, source.image, label or None, manifest.ref.full_name)
    try:
        st.session_state[key] = job_queue().submit(work).id
    except StudioError as error:
        st.toast(plain(error))


main()
