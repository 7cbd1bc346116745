"""The mean image of each side, their difference, and how much each pixel varies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import streamlit as st

from pages.parts import charts
from pages.parts.research.frames import draw_image, generated_badge, heat_image, real_badge
from pages.parts.research.measured import mean_images
from pages.parts.research.scene import Scene
from xray_generator.evaluation.summary import NOT_MEASURED

if TYPE_CHECKING:
    from xray_generator.dashboards.distributions import MeanImages

HEIGHT = 360


def draw_means(scene: Scene) -> None:
    """Draw means, difference and deviations."""
    found = mean_images(scene.sides)
    counts = {"real": len(scene.sides.real), "generated": len(scene.sides.generated)}
    left, middle, right = st.columns(3, gap="medium")
    with left:
        real_badge(f"· mean of {counts['real']:,}")
        draw_image(found.real, (0.0, 1.0), "Mean of the real films")
    with middle:
        generated_badge(f"· mean of {counts['generated']:,}")
        draw_image(found.generated, (0.0, 1.0), "Mean of the generated images")
    with right:
        figure = heat_image(found.difference, (-found.reach, found.reach), "RdBu_r", "Generated less real")
        charts.draw(figure, "research_difference", HEIGHT)
        st.caption(
            "Red: generated images are brighter there, blue: darker; 1 is from black to white. The mean of the "
            f"absolute differences is {found.mean_difference:.3f}, the largest {found.reach:.3f}. Few images make a "
            "spotted difference by chance alone."
        )
    _draw_deviations(found, counts)


def _draw_deviations(found: MeanImages, counts: Mapping[str, int]) -> None:
    most = found.most_deviation
    left, right, text = st.columns(3, gap="medium")
    with left:
        charts.draw(
            heat_image(found.real_deviation, (0, most), "Cividis", "Real: standard deviation"),
            "research_real_deviation",
            HEIGHT,
        )
    with right:
        charts.draw(
            heat_image(found.generated_deviation, (0, most), "Cividis", "Generated: standard deviation"),
            "research_generated_deviation",
            HEIGHT,
        )
    variation = NOT_MEASURED if found.variation is None else f"{found.variation:.2f}"
    text.metric(
        "Variation, generated / real",
        variation,
        border=True,
        help="The mean standard deviation of a pixel over the generated images divided by that over real "
        "films. Below 1, generated images resemble each other more than real films do.",
    )
    text.caption(
        f"How much each pixel varies from image to image; both on one scale. n = {counts['real']:,} real and "
        f"{counts['generated']:,} generated."
    )
