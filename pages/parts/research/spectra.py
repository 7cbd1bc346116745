"""Power spectra of real films and generated images: coarse shapes on the left, fine grain on the right."""

from __future__ import annotations

import streamlit as st

from pages.parts import charts
from pages.parts.measured import draw_tile
from pages.parts.research.measured import comparisons, spectra
from pages.parts.research.scene import Scene


def draw_spectra(scene: Scene) -> None:
    """Draw the curves and the distance between them."""
    curve = spectra(scene.sides)
    chart, tile = st.columns([3, 1], gap="medium")
    with chart:
        charts.draw(charts.lines(curve, log_x=True, log_y=True), "research_spectra", 440)
    with tile:
        draw_tile(comparisons(scene.sides).spectral)
        st.caption(
            f"Means of {len(scene.sides.real):,} real and {len(scene.sides.generated):,} generated images of "
            f"{scene.size} x {scene.size} pixels. Left: the coarse shapes of the chest. Right: vessels, edges and "
            "grain. An orange line below the blue one on the right means that fine detail is missing; above it, that "
            "there is noise or a pattern that real films do not have."
        )
