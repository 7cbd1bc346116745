"""Live: the picture follows the words and the sliders, and the slider between two prompts or two seeds."""

from __future__ import annotations

import streamlit as st

from pages.parts.checkpoint_picker import pick_checkpoint
from pages.parts.live import ends, strip
from pages.parts.live.controls import PROMPT, draw_sampling, draw_seed, draw_words, set_defaults
from pages.parts.live.drawing import Drawing, between
from pages.parts.live.picture import draw_picture
from pages.parts.services import plain, warm
from xray_generator.checkpoints import Manifest
from xray_generator.types import StudioError

MODE = "live_mode"
ONE, TWO = "One picture", "Between two"


@st.fragment
def main() -> None:
    """Draw the picture, first on a phone too, and beside it what it follows; only this runs again at a change."""
    picture, controls = st.columns(2, gap="medium")
    drawing: Drawing | None = None
    manifest: Manifest | None = None
    with controls:
        fields = st.container()  # above the picker: near the picture on a phone
        try:
            manifest = pick_checkpoint(prompted=True)
            with fields:
                drawing = _draw_controls(manifest)
        except StudioError as error:
            st.error(plain(error))
    if manifest is None:
        return
    with picture:
        draw_picture(drawing)
    if st.session_state[MODE] == TWO:
        strip.draw_strip()
    warm(manifest.name)


def _draw_controls(manifest: Manifest) -> Drawing | None:
    """Draw all fields; what they ask for, or None. StudioError where a value is not allowed."""
    set_defaults(manifest)
    st.session_state.setdefault(MODE, ONE)
    st.segmented_control(
        "Mode",
        (ONE, TWO),
        key=MODE,
        required=True,
        label_visibility="collapsed",
        width="stretch",
        persist_state="session",
    )
    if st.session_state[MODE] == TWO:
        return _draw_two(manifest)
    draw_words(manifest)
    seed = draw_seed()
    sampling = draw_sampling(manifest)
    return Drawing(manifest.ref, sampling.request(st.session_state[PROMPT], seed))


def _draw_two(manifest: Manifest) -> Drawing | None:
    if not ends.can_morph(manifest):
        st.info(f"{plain(manifest.name)} cannot mix two pictures. One picture works.")
        return None
    ends.draw_ends()
    weight = ends.draw_weight()
    sampling = draw_sampling(manifest)
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        count = strip.draw_count()
    first, second = ends.read_ends(sampling)
    with right:
        strip.draw_order(ends.way(manifest.ref, first, second, count))
    return between(manifest.ref, first, second, weight)


main()
