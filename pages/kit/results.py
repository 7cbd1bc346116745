"""What the person at this browser made on the Generator, found again after a reload: the results and the form."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import streamlit as st

from pages.kit.jobs import start_job
from pages.kit.person import person
from pages.kit.sampling import fill_generator
from pages.kit.services import job_queue, own_dir, studio
from postprocess.presets import Preset
from xray_generator.checkpoints import Manifest
from xray_generator.config import dump
from xray_generator.data.naming import class_titles
from xray_generator.history import (
    Form,
    keep_form,
    list_results,
    load_result,
    read_form,
    result_path,
    without_gone,
)
from xray_generator.orders import DrawOrder
from xray_generator.requests import describe_condition
from xray_generator.types import GenerationRequest, GenerationResult, StudioError

JOB = "job of "  # begins the keys of the Generator's jobs
MOST, TITLE_CHARACTERS = 12, 60
FORM = "kept_form"  # of the session: the form as it is on disk


def job_key(checkpoint: str) -> str:
    """The key of the Generator's jobs with a checkpoint."""
    return f"{JOB}{checkpoint}"


def result_key(checkpoint: str) -> str:
    """The session's key of the result of a checkpoint that is shown."""
    return f"result of {checkpoint}"


def start_drawing(request: GenerationRequest, manifest: Manifest, preset: Preset) -> None:
    """Ask for the images of a request, which are kept one by one among this person's."""
    name, words = manifest.name, describe_condition(request.condition, class_titles(manifest.labels))
    order = DrawOrder(request, name, dump(preset), own_dir().name)
    title = words if len(words) <= TITLE_CHARACTERS else f"{words[: TITLE_CHARACTERS - 1].rstrip()}…"
    start_job(job_key(name), order, f"{title} · {name}", request.num_images)


def list_own_results(checkpoint: str) -> list[Path]:
    """The newest results with a checkpoint, the newest first; those in memory too where their files are gone."""
    kept = list_results(own_dir(), checkpoint)
    return [*(path for path in _list_remembered(checkpoint) if path not in kept), *kept][:MOST]


def read_result(path: Path, checkpoint: str) -> GenerationResult | None:
    """One of these results: from memory, where it still is, else with the 8 bits of its files; None: they are gone.

    An image whose file was deleted is left out; a result that could not be written is whole in memory.
    """
    remembered = _list_remembered(checkpoint).get(path)
    if remembered is None:
        return load_result(path)
    return without_gone(remembered, path.parent) if path.is_file() else remembered


def _list_remembered(checkpoint: str) -> dict[Path, GenerationResult]:
    """The results in memory by the paths of their files, the newest first."""
    jobs = reversed(job_queue().find(person(), job_key(checkpoint)))
    results = (job.result for job in jobs if isinstance(job.result, GenerationResult))
    found: dict[Path, GenerationResult] = {}
    for result in results:
        found.setdefault(result_path(result, own_dir()), result)
    return found


def find_shown(checkpoint: str) -> GenerationResult | None:
    """The result that the Generator shows of a checkpoint."""
    paths, chosen = list_own_results(checkpoint), st.session_state.get(result_key(checkpoint))
    return read_result(chosen if chosen in paths else paths[0], checkpoint) if paths else None


def keep_own_form(form: Form) -> None:
    """Write the form of this person where it has changed. A disk that takes no more is no reason to stop here."""
    if st.session_state.get(FORM) != form:
        with suppress(StudioError):
            keep_form(form, own_dir())
        st.session_state[FORM] = form


def restore_own_form() -> None:
    """Once a session, fill the Generator's form as this person left it, unless its model no longer takes that."""
    if FORM in st.session_state:
        return
    st.session_state[FORM] = form = read_form(own_dir())
    if form is not None:
        with suppress(StudioError):
            fill_generator(form.request, studio().manifest(form.checkpoint), form.preset)
            st.session_state["new_seed"] = form.has_new_seed
