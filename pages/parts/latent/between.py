"""Between two images: two seeds of a class, or two classes of a seed: the class changes, the noise stays."""

from __future__ import annotations

import streamlit as st

from pages.parts.latent.work import pick_class, pick_seed, request
from pages.parts.live import strip
from pages.parts.live.drawing import between
from pages.parts.live.ends import way
from pages.parts.live.picture import draw_picture
from xray_generator.checkpoints import Manifest
from xray_generator.types import GenerationRequest

PREFIX, NUM_STRIP = "latent", 7
WHAT_IT_IS = (
    "The noise moves along the sphere, the class along the line between both. The same seed and two classes: the class "
    "changes at fixed noise. The same class and two seeds: from one image to another."
)


@st.fragment
def draw_between(manifest: Manifest) -> None:
    """Draw the tab; only this runs again at a change."""
    form, picture = st.columns([2, 3], gap="medium")
    with form:
        first, second = (_pick_end(manifest, name, place) for place, name in enumerate(("A", "B")))
        st.session_state.setdefault("latent_weight", 0.5)
        weight: float = st.slider(
            "From A (0) to B (1)", 0.0, 1.0, step=0.05, key="latent_weight", persist_state="session"
        )
        strip.draw_order(way(manifest.ref, first, second, NUM_STRIP), PREFIX)
        st.caption(WHAT_IT_IS)
    with picture:
        draw_picture(between(manifest.ref, first, second, weight), PREFIX)
    strip.draw_strip(PREFIX)


def _pick_end(manifest: Manifest, name: str, place: int) -> GenerationRequest:
    label = pick_class(manifest, f"class_{name}", f"Class of {name}", place)
    return request(manifest, label, pick_seed(f"seed_{name}", f"Seed of {name}"))
