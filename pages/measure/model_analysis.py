"""Model analysis: what a checkpoint consists of, how it was trained, what its autoencoder keeps and how fast it is."""

from __future__ import annotations

import streamlit as st

from pages.parts.checkpoint_picker import pick_checkpoint
from pages.parts.model.architecture import draw_architecture
from pages.parts.model.autoencoder import draw_autoencoder
from pages.parts.model.facts import draw_facts
from pages.parts.model.noise import draw_noise
from pages.parts.model.speed import draw_speed
from pages.parts.model.training import draw_training
from pages.parts.services import plain
from xray_generator.types import StudioError

TABS = {
    "Training": draw_training,  # first: it needs no weights, so the page opens at once
    "Architecture": draw_architecture,
    "Noise schedule": draw_noise,
    "Autoencoder": draw_autoencoder,
    "Speed": draw_speed,
}


def main() -> None:
    """Draw the page."""
    st.caption("What a model is made of, how it learned, what it keeps of an image, and how fast it draws.")
    try:
        manifest = pick_checkpoint()
        draw_facts(manifest)
    except StudioError as error:
        st.error(plain(error))
        return
    for tab, draw in zip(st.tabs(list(TABS), key="model_tab", on_change="rerun"), TABS.values(), strict=True):
        with tab:
            if tab.open:
                try:
                    draw(manifest)
                except (StudioError, OSError) as error:
                    st.error(plain(error))


main()
