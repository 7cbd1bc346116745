"""What the tabs of the page share: the class and seed fields, and a piece of work that is asked for by a button."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from pages.parts.generator.settings import MAX_FIELD_SEED
from pages.parts.progress import draw_end, draw_progress
from pages.parts.sampling import field
from pages.parts.services import job_queue, plain, studio
from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.latent_space import Load
from xray_generator.jobs import Work
from xray_generator.requests import read_condition, make_request
from xray_generator.types import GenerationRequest, StudioError


def pick_class(manifest: Manifest, name: str, title: str = "Class", first: int = 0) -> str:
    """Draw the choice of a class; `name` tells it from others of the page."""
    key = field(f"latent_{name}", manifest.name)
    st.session_state.setdefault(key, manifest.labels[min(first, len(manifest.labels) - 1)])
    st.pills(title, manifest.labels, key=key, required=True, persist_state="session", format_func=words, wrap=True)
    label: str = st.session_state[key]
    return label


def pick_seed(name: str, title: str = "Seed", first: int = 0) -> int:
    """Draw the field of a seed."""
    key = f"latent_{name}"
    st.session_state.setdefault(key, first)
    seed: int = st.number_input(title, 0, MAX_FIELD_SEED, key=key, persist_state="session")
    return seed


def words(label: str) -> str:
    """The name of a class in words."""
    return label.replace("_", " ")


def request(manifest: Manifest, label: str, seed: int) -> GenerationRequest:
    """One image of a class with the recommended settings. StudioError where that is not allowed."""
    return make_request(read_condition(manifest, label=label), seed=seed, size=manifest.sizes[0])


def load(manifest: Manifest) -> Load:
    """What gives a job the engine."""
    return partial(studio().engine, manifest.ref.full_name)


def draw_start(title: str, name: str, key: str, work: Work | None) -> None:
    """Draw the button that asks for a piece of work, known by `key` from then on; None: there is nothing to ask for."""
    job = job_queue().get(st.session_state.get(key, ""))
    is_running = job is not None and not job.is_over
    st.button(
        title,
        key=f"latent_{name}",
        type="primary",
        width="stretch",
        disabled=work is None or is_running,
        on_click=_submit,
        args=(key, work),
    )


def draw_work(key: str, hint: str) -> Any:  # noqa: ANN401 - what the work brings
    """The result of what was asked for under `key`; None: there is none, and how far it is, or `hint`, is drawn."""
    job = job_queue().get(st.session_state.get(key, ""))
    if job is None:
        with st.container(border=True, height=380, vertical_alignment="center"):
            st.caption(hint, text_alignment="center")
    elif not job.is_over:
        draw_progress(job)
    elif job.state == "done":
        return job.result
    else:
        draw_end(job)
    return None


def _submit(key: str, work: Work) -> None:
    try:
        st.session_state[key] = job_queue().submit(work).id
    except StudioError as error:
        st.toast(plain(error))
