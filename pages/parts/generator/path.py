"""From noise to image: the states of a raw image on its way, and how its intensities come to be."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from pages.parts import charts
from pages.parts.progress import draw_end, draw_progress
from pages.parts.services import job_queue, plain, studio
from xray_generator.abilities import Tracing
from xray_generator.dashboards.noise_path import ends_at, intensity_curve, states
from xray_generator.dicom.hounsfield import Window
from xray_generator.evaluation.summary import NOT_MEASURED
from xray_generator.export.animation import encode_path_gif, encode_path_strip
from xray_generator.export.pictures import Picture
from xray_generator.jobs import Job
from xray_generator.types import CheckpointRef, Image, StudioError

NUM_SHOWN = 8
HEIGHT = 280


def draw_path(picture: Picture, window: Window | None) -> None:
    """Draw the closed panel of a raw image, where its model shows the way; it is drawn once it is asked for."""
    recipe = picture.recipe
    if recipe.origin is not None or recipe.upscaler is not None:
        return  # no single way led to it, or not at this size
    try:
        if not _traces(recipe.checkpoint):
            return
    except StudioError:
        return  # the checkpoint is no longer here
    with st.expander("From noise to image"):
        key = f"path {recipe.digest}"
        job = job_queue().get(st.session_state.get(key, ""))
        if job is None or job.state in ("failed", "cancelled"):
            _draw_start(picture, key, job)
        elif not job.is_over:
            draw_progress(job)
        else:
            _draw(job.result, picture, window)


@st.cache_data(max_entries=32, show_spinner="Preparing the model")
def _traces(checkpoint: CheckpointRef) -> bool:
    return isinstance(studio().engine(checkpoint.full_name), Tracing)


def _draw_start(picture: Picture, key: str, job: Job | None) -> None:
    if job is not None:
        draw_end(job)
    st.button(
        "Show the way",
        key="path_start",
        on_click=_submit,
        args=(picture, key),
        help="Draws this image once more and keeps every step.",
    )


def _submit(picture: Picture, key: str) -> None:
    request, name = picture.recipe.request, picture.recipe.checkpoint.full_name
    try:
        st.session_state[key] = job_queue().submit(partial(studio().trace, request, name)).id
    except StudioError as error:
        st.toast(plain(error))


def _draw(path: Sequence[Image], picture: Picture, window: Window | None) -> None:
    if not ends_at(path, picture.image):
        st.warning("Drawn again, the image is not the one above: the checkpoint or this machine's settings changed.")
    shown = states(path, NUM_SHOWN)
    grid = st.grid(NUM_SHOWN, min_column_width=70)
    for state in shown:
        with grid.cell(), st.container(gap=None):
            st.image(state.image, width="stretch", output_format="PNG", alt=f"Synthetic, sigma {state.sigma:.2f}")
            st.caption(f"sigma = {state.sigma:.2f}")
    stem = picture.file_name.removesuffix(".png")
    with st.container(horizontal=True):
        st.download_button(
            "Strip PNG",
            partial(encode_path_strip, [state.image for state in shown], picture.recipe),
            f"{stem}_path.png",
            "image/png",
            key="path_png",
            on_click="ignore",
            icon=":material/download:",
            help="These states in a row, with the recipe inside.",
        )
        st.download_button(
            "GIF",
            partial(encode_path_gif, path, picture.recipe),
            f"{stem}_path.gif",
            "image/gif",
            key="path_gif",
            on_click="ignore",
            icon=":material/download:",
            help="Every step, with the recipe inside.",
        )
    _draw_intensities(path, picture, window)


def _draw_intensities(path: Sequence[Image], picture: Picture, window: Window | None) -> None:
    intensity = studio().manifest(picture.recipe.checkpoint.full_name).metrics.get("intensity")
    curve = intensity_curve(path, intensity if isinstance(intensity, dict) else {}, window)
    st.markdown("**Intensities**")
    charts.draw(charts.areas(curve), "path_intensities", HEIGHT)
    of_real = "" if any(name.startswith("real") for name in curve.lines) else f" Training images: {NOT_MEASURED}."
    st.caption(
        f"Sigma 1 is noise, 0 the image. Noise reaches beyond the scale: what lies there counts at its ends.{of_real}"
    )
