"""How the model came to a generated image: attention to words, what it expected at every step, the way from noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import streamlit as st

from pages.kit import charts
from pages.kit.follow import draw_animation_downloads
from pages.kit.jobs import draw_end, draw_job, find_job, start_button
from pages.kit.services import count_text, escape_markdown, studio
from xray_generator import generation
from xray_generator.abilities import AttentionMaps
from xray_generator.dashboards.noise_path import ends_at, intensity_curve, spread_places, states
from xray_generator.dashboards.word_maps import is_same, most_local, overlay, share
from xray_generator.dicom.hounsfield import Window
from xray_generator.evaluation.summary import NOT_MEASURED
from xray_generator.experiments.step_by_step import StepByStep, distance_curve, sharpness_curve, watch_steps
from xray_generator.export.animation import encode_path_gif, encode_path_strip
from xray_generator.export.pictures import Picture
from xray_generator.images import resize_square
from xray_generator.jobs import Work
from xray_generator.registry import offers
from xray_generator.types import Ability, Image, StudioError

STATES_PER_ROW, MOST_WORDS, WORD_PX = 8, 32, 96
MOST_ESTIMATES = 3 * STATES_PER_ROW
CHANGED = "This time the image came out differently. The checkpoint or this machine's settings have changed since."
ATTENTION = (
    "Attention shows which places of the image drew on a word while it was generated. It does not prove that a finding "
    "is present, and words also act through one another."
)


def draw_analysis(picture: Picture, make_work: Callable[[], Work], name: str, button: str, hint: str) -> Any:  # noqa: ANN401
    """Draw a button that generates an image again to see how the model came to it; the result once it is there."""
    job_key = f"{name} {picture.recipe.digest}"
    job = find_job(job_key)
    if job is not None and job.state not in ("failed", "canceled"):
        return draw_job(job_key, hint)
    if job is not None:
        draw_end(job)
    start_button(button, job_key, make_work, key=f"{name}_start", type="secondary", width="content")
    st.caption(hint)
    return None


def plan_verb(picture: Picture, ability: Ability) -> Callable[[], Work]:
    """What makes the work of a verb of `generation` on the request of a picture."""
    recipe, verb = picture.recipe, getattr(generation, ability)
    return lambda: studio().task(verb, recipe.request, checkpoint=recipe.checkpoint.full_name)


def can_draw_again(picture: Picture, ability: Ability | None = None) -> bool:
    """Whether a picture came straight from a prompt or class, and the checkpoint is here.

    With an ability: whether the checkpoint has it, and drew the picture at this size.
    """
    recipe = picture.recipe
    try:
        manifest = studio().manifest(recipe.checkpoint.full_name)
    except StudioError:
        return False  # the checkpoint is gone
    return recipe.origin is None and (ability is None or (recipe.upscaler is None and offers(manifest, ability)))


@st.fragment
def draw_words(picture: Picture) -> None:
    """Draw the attention of the words of the prompt over the image."""
    if not can_draw_again(picture, "attend"):
        return
    with st.expander("Show attention for each word"):
        hint = f"Generates this image again and records the attention to each word. {ATTENTION}"
        make_work = plan_verb(picture, "attend")
        maps: AttentionMaps | None = draw_analysis(picture, make_work, "words", "Show attention", hint)
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
def draw_steps(picture: Picture) -> None:
    """Draw what the model expected the image to be after each step, how near and how sharp that was."""
    if not can_draw_again(picture):
        return
    recipe = picture.recipe
    with st.expander("Step by step"):
        hint = "Generates this image again and keeps what the model expects the finished image to be after each step."
        draw = partial(studio().generate, recipe.request, recipe.checkpoint.full_name)
        found: StepByStep | None = draw_analysis(
            picture, lambda: partial(watch_steps, draw), "steps", "Show every step", hint
        )
        if found is None:
            return
        if not ends_at((found.image,), picture.image):
            st.warning(CHANGED)
        if not found.estimates:
            st.info("This model does not say what it expects on the way to an image.")
            return
        shown = [found.estimates[place] for place in spread_places(len(found.estimates), MOST_ESTIMATES)]
        grid = st.grid(STATES_PER_ROW, min_column_width=70)
        for one in shown:
            with grid.cell(), st.container(gap=None):
                st.image(one.image, width="stretch", output_format="PNG", alt=f"Synthetic, expected at step {one.step}")
                st.caption(f"{one.step}: {one.distance:.3f} off")
        st.caption(describe_steps(found))
        left, right = st.columns(2, gap="medium")
        for column, curve in zip((left, right), (distance_curve(found), sharpness_curve(found)), strict=True):
            with column:
                st.markdown(f"**{curve.title}**")
                figure = charts.lines(curve)
                figure.update_yaxes(rangemode="tozero")
                charts.draw(figure, f"steps {curve.title}", 260)
        frames = [resize_square(one.image, len(found.image)) for one in shown]
        note = "What the model expected after each step."
        draw_animation_downloads(
            partial(encode_path_strip, frames, recipe, note),
            partial(encode_path_gif, frames, recipe, note),
            f"{picture.file_name.removesuffix('.png')}_steps",
            "steps",
            "Every step",
        )


def describe_steps(found: StepByStep) -> str:
    """How to read the estimates, in words."""
    texts = [
        f"{count_text(found.num_steps, 'step')}. Below each image: the step, and the root mean squared difference to "
        "the finished image, gray 0 to 1. Early ones are blurred, since they are near the mean of all images that still"
        " fit. Some models add grain or fine detail after the last step."
    ]
    if len(found.estimates) < found.num_steps:
        texts.append(f"{count_text(len(found.estimates), 'step')} of them, evenly spread, were kept.")
    if len(found.sides) > 1:
        sides = ", ".join(map(str, found.sides))
        texts.append(f"Stages of {sides} pixels: the image is scaled to each; compare sharpness within one size alone.")
    return " ".join(texts)


@st.fragment
def draw_trajectory(picture: Picture, window: Window | None) -> None:
    """Draw states of the trajectory from noise to the image, their downloads and the intensities."""
    if not can_draw_again(picture, "trace"):
        return
    with st.expander("From noise to image"):
        hint = "Generates this image again and keeps every step."
        make_work = plan_verb(picture, "trace")
        path: Sequence[Image] | None = draw_analysis(picture, make_work, "path", "Show the trajectory", hint)
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
