"""Where the words of a prompt acted on the image shown: it is drawn again while the attention is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from pages.parts.progress import draw_end, draw_progress
from pages.parts.services import job_queue, plain, studio
from xray_generator.abilities import AttentionMaps
from xray_generator.dashboards.word_maps import is_same, most_local, overlay, share
from xray_generator.export.pictures import Picture
from xray_generator.jobs import Job
from xray_generator.types import Image, StudioError, TextPrompt

NONE_RECORDED = "No attention was recorded for this image."
WHAT_IT_IS = (
    "Attention shows which places drew on a word while the image was made. It does not prove that a finding is there, "
    "and a word may act through the others."
)
SMALL_PX, MOST_SMALL = 96, 32


def draw_words(picture: Picture) -> None:
    """Draw the closed panel of a raw image; its maps are computed once they are asked for."""
    recipe = picture.recipe
    if not isinstance(recipe.request.condition, TextPrompt) or recipe.origin is not None or recipe.upscaler is not None:
        return  # no single prompt drew it, or not at this size
    with st.expander("Where did the words act?"):
        key = f"words {picture.recipe.digest}"
        job = job_queue().get(st.session_state.get(key, ""))
        if job is None or job.state in ("failed", "cancelled"):
            _draw_start(picture, key, job)
        elif not job.is_over:
            draw_progress(job)
        else:
            _draw_maps(job.result, picture.image, key)


def _draw_start(picture: Picture, key: str, job: Job | None) -> None:
    if job is not None:
        draw_end(job)
    st.button(
        "Show the words",
        key="words_start",
        on_click=_submit,
        args=(picture, key),
        help="Draws this image once more and records the attention of each word.",
    )
    st.caption(WHAT_IT_IS)


def _submit(picture: Picture, key: str) -> None:
    name = picture.recipe.checkpoint.full_name
    try:
        st.session_state[key] = job_queue().submit(partial(studio().attend, picture.recipe.request, name)).id
    except StudioError as error:
        st.toast(plain(error))


def _draw_maps(maps: AttentionMaps, image: Image, key: str) -> None:
    if not maps.words:
        st.info(NONE_RECORDED)
        return
    if not is_same(maps, image):
        st.warning("Drawn again, the image is not the one above: the checkpoint or this machine's settings changed.")
    places = range(len(maps.words))
    first = most_local(maps)
    chosen = st.pills(
        "Words",
        places,
        selection_mode="multi",
        default=None if first is None else [first],
        key=f"{key} chosen",
        format_func=lambda place: plain(maps.words[place]),
        label_visibility="collapsed",
    )
    large, small = st.columns([2, 3], gap="medium")
    with large:
        _draw_large(maps, chosen)
    with small:
        _draw_small(maps)
    st.caption(WHAT_IT_IS)


def _draw_large(maps: AttentionMaps, chosen: Sequence[int]) -> None:
    words = " ".join(maps.words[place] for place in chosen)
    st.image(
        overlay(maps, chosen),
        width="stretch",
        output_format="PNG",
        alt=f"Attention to: {words}" if words else "The image without heat",
    )
    if not chosen:
        st.caption("Choose a word.")
        return
    found = share(maps, chosen)
    st.caption(plain(f"Synthetic. {words}: {found.mean:.1%} of all attention, up to {found.most:.1%} where brightest."))


def _draw_small(maps: AttentionMaps) -> None:
    grid = st.grid(6, min_column_width=70)
    for place, word in list(enumerate(maps.words))[:MOST_SMALL]:
        with grid.cell(), st.container(gap=None):
            st.image(overlay(maps, [place], SMALL_PX), width="stretch", output_format="PNG", alt=f"Attention: {word}")
            st.caption(plain(word))
    rest = len(maps.words) - MOST_SMALL
    st.caption(
        "Each on its own scale, from least to most." + (f" {rest} more words are not drawn." if rest > 0 else "")
    )
