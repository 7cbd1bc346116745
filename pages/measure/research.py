"""Research dashboard: real films beside generated images of one condition, and everything that sets them apart."""

from __future__ import annotations

import streamlit as st

from pages.parts.research.copies import draw_copies
from pages.parts.research.distributions import draw_distributions
from pages.parts.research.draw import draw_job
from pages.parts.research.export import draw_export
from pages.parts.research.means import draw_means
from pages.parts.research.neighbors import draw_neighbors
from pages.parts.research.pairs import draw_pairs
from pages.parts.research.radar import draw_radar
from pages.parts.research.scene import pick_scene
from pages.parts.research.spectra import draw_spectra
from pages.parts.services import plain
from xray_generator.types import StudioError

TABS = {
    "Side by side": draw_pairs,
    "Distributions": draw_distributions,
    "Spectra": draw_spectra,
    "Mean images": draw_means,
    "Nearest neighbors": draw_neighbors,
    "Radar": draw_radar,
    "Copies": draw_copies,
    "Export": draw_export,
}


def main() -> None:
    """Draw the page."""
    st.caption(
        "Real films beside generated images of one condition: what is alike, what is not, and what is too alike."
    )
    try:
        scene = pick_scene()
    except (StudioError, OSError) as error:
        st.error(plain(error))
        return
    draw_job()
    for tab, draw in zip(st.tabs(list(TABS), key="research_tab", on_change="rerun"), TABS.values(), strict=True):
        with tab:
            if tab.open:
                try:
                    draw(scene)
                except (StudioError, OSError) as error:
                    st.info(plain(error))


main()
