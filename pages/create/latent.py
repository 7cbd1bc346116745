"""Latent space: ways through what a model of classes learned, an image brought into it, a map, and sizes compared."""

from __future__ import annotations

import streamlit as st

from pages.parts.checkpoint_picker import pick_checkpoint
from pages.parts.latent.between import draw_between
from pages.parts.latent.compare import draw_compare
from pages.parts.latent.map import draw_map
from pages.parts.latent.reconstruct import draw_reconstruct
from pages.parts.latent.traverse import draw_traverse
from pages.parts.services import plain, warm
from xray_generator.types import StudioError

TABS = {
    "Traverse": draw_traverse,
    "Between two": draw_between,
    "Reconstruct": draw_reconstruct,
    "Map": draw_map,
    "Compare sizes": draw_compare,
}


def main() -> None:
    """Draw the picker and the open tab."""
    try:
        with st.columns(2)[0]:
            manifest = pick_checkpoint(latent=True)
    except StudioError as error:
        st.error(plain(error))
        return
    for tab, draw in zip(st.tabs(list(TABS), key="latent_tab", on_change="rerun"), TABS.values(), strict=True):
        if not tab.open:
            continue
        with tab:
            try:
                draw(manifest)
            except (StudioError, OSError) as error:
                st.error(plain(error))
    warm(manifest.name)


main()
