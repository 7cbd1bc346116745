"""How the model came to a generated image: the attention to the words of its prompt, and its trajectory from noise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from pages.kit import charts
from pages.kit.follow import draw_animation_downloads
from pages.kit.jobs import draw_end, draw_job, find_job, start_button
from pages.kit.services import count_text, escape_markdown, studio
from xray_generator import generation
from xray_generator.abilities import AttentionMaps
from xray_generator.dashboards.noise_path import ends_at, intensity_curve, states
from xray_generator.dashboards.word_maps import is_same, most_local, overlay, share
from xray_generator.dicom.hounsfield import Window
from xray_generator.evaluation.summary import NOT_MEASURED
from xray_generator.export.animation import encode_path_gif, encode_path_strip
from xray_generator.export.pictures import Picture
from xray_generator.registry import offers
from xray_generator.types import Ability, Image, StudioError

STATES_PER_ROW, MOST_WORDS, WORD_PX = 8, 32, 96
CHANGED = "This time the image came out differently. The checkpoint or this machine's settings have changed since."
ATTENTION = (
    "Attention shows which places of the image drew on a word while it was generated. It does not prove that a finding "
    "is present, and words also act through one another."
)


def draw_analysis(picture: Picture, ability: Ability, name: str, button: str, hint: str) -> Any:  # noqa: ANN401
    """Draw a button that generates an image again to see how the model came to it; the result once it is there."""
    recipe = picture.recipe
    job_key, verb = f"{name} {recipe.digest}", getattr(generation, ability)
    job = find_job(job_key)
    if job is not None and job.state not in ("failed", "canceled"):
        return draw_job(job_key, hint)
    if job is not None:
        draw_end(job)
    start_button(
        button,
        job_key,
        lambda: studio().task(verb, recipe.request, checkpoint=recipe.checkpoint.full_name),
        key=f"{name}_start",
        type="secondary",
        width="content",
    )
    st.caption(hint)
    return None


def can_analyze(picture: Picture, ability: Ability) -> bool:
    """Whether a picture came straight from a prompt or class, at this size, of a checkpoint with an ability."""
    try:
        manifest = studio().manifest(picture.recipe.checkpoint.full_name)
    except StudioError:
        return False  # the checkpoint is gone
    return picture.recipe.origin is None and picture.recipe.upscaler is None and offers(manifest, ability)


@st.fragment
def draw_words(picture: Picture) -> None:
    """Draw the attention of the words of the prompt over the image."""
    if not can_analyze(picture, "attend"):
        return
    with st.expander("Show attention for each word"):
        hint = f"Generates this image again and records the attention to each word. {ATTENTION}"
        maps: AttentionMaps | None = draw_analysis(picture, "attend", "words", "Show attention", hint)
        if maps is None:
            return
        if not maps.words:
            st.info("No attention was recorded for this image.")
            return
        if not is_same(maps, picture.image):
            st.warning(CHANGED)
        first = most_local(maps)
        chosen = st.pills(
            "Words",
            range(len(maps.words)),
            selection_mode="multi",
            default=None if first is None else [first],
            key=f"words {picture.recipe.digest} chosen",
            format_func=lambda place: escape_markdown(maps.words[place]),
            label_visibility="collapsed",
        )
        large, small = st.columns([2, 3], gap="medium")
        with large:
            words = " ".join(maps.words[place] for place in chosen)
            alt = f"Attention to: {words}" if words else "The image without attention"
            st.image(overlay(maps, chosen), width="stretch", output_format="PNG", alt=alt)
            shares = share(maps, chosen)
            text = f"Synthetic. {words}: {shares.mean:.1%} of all attention, {shares.most:.1%} at the brightest place."
            st.caption(escape_markdown(text) if words else "Choose one or more words.")
        with small:
            draw_word_tiles(maps)
        st.caption(ATTENTION)


def draw_word_tiles(maps: AttentionMaps) -> None:
    """Draw the attention of each word small, every one on its own scale."""
    grid = st.grid(6, min_column_width=70)
    for place, word in enumerate(maps.words[:MOST_WORDS]):
        with grid.cell(), st.container(gap=None):
            tile = overlay(maps, [place], WORD_PX)
            st.image(tile, width="stretch", output_format="PNG", alt=f"Attention: {word}")
            st.caption(escape_markdown(word))
    rest = len(maps.words) - MOST_WORDS
    st.caption("Each on its own scale." + (f" {count_text(rest, 'more word')} not shown." if rest > 0 else ""))


@st.fragment
def draw_trajectory(picture: Picture, window: Window | None) -> None:
    """Draw states of the trajectory from noise to the image, their downloads and the intensities."""
    if not can_analyze(picture, "trace"):
        return
    with st.expander("From noise to image"):
        hint = "Generates this image again and keeps every step."
        path: Sequence[Image] | None = draw_analysis(picture, "trace", "path", "Show the trajectory", hint)
        if path is None:
            return
        if not ends_at(path, picture.image):
            st.warning(CHANGED)
        shown = states(path, STATES_PER_ROW)
        grid = st.grid(STATES_PER_ROW, min_column_width=70)
        for state in shown:
            with grid.cell(), st.container(gap=None):
                alt = f"Synthetic, sigma {state.sigma:.2f}"
                st.image(state.image, width="stretch", output_format="PNG", alt=alt)
                st.caption(f"sigma = {state.sigma:.2f}")
        strip = partial(encode_path_strip, [state.image for state in shown], picture.recipe)
        gif = partial(encode_path_gif, path, picture.recipe)
        name = f"{picture.file_name.removesuffix('.png')}_path"
        draw_animation_downloads(strip, gif, name, "path", "Every step")
        training = studio().manifest(picture.recipe.checkpoint.full_name).metrics.intensity
        st.markdown("**Intensities**")
        charts.draw(charts.areas(intensity_curve(path, training, window)), "path_intensities", 280)
        unknown = "" if training else f" Training images: {NOT_MEASURED}."
        st.caption(
            f"Sigma is 1 for pure noise and 0 for the image. Values beyond the scale count at its ends.{unknown}"
        )
