"""How every per-image measure is distributed over real films and over generated images, with a test in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.parts import charts
from pages.parts.research.measured import comparisons, gray_levels
from pages.parts.research.scene import Scene
from pages.parts.services import plain
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.summary import BETTER, NOT_MEASURED, value_text

if TYPE_CHECKING:
    from xray_generator.dashboards.distributions import Comparison

KIND, HISTOGRAM, CUMULATIVE = "research_distribution", "Histogram", "Cumulative"
HEIGHT = 260
READING = (
    "The gap is the two-sample Kolmogorov-Smirnov statistic: the largest distance between the cumulative curves, 0 "
    "where they are equal, 1 where they do not meet; of the real films it takes one a patient. p is how often chance "
    "alone would bring such a gap or a larger one, if both sides were alike. Five measures are tested at once, so a "
    "single “somewhat unlikely” may be chance. Few images show few differences, very many show the smallest."
)


def draw_distributions(scene: Scene) -> None:
    """Draw the table, a chart for each measure, and the gray levels."""
    from xray_generator.dashboards.distributions import cumulative, histogram

    found = comparisons(scene.sides)
    st.dataframe([_line(one) for one in found.measures], hide_index=True, width="stretch", key="research_table")
    st.caption(READING)
    kind = st.segmented_control(
        "Charts",
        (HISTOGRAM, CUMULATIVE),
        key=KIND,
        default=HISTOGRAM,
        required=True,
        persist_state="session",
        label_visibility="collapsed",
    )
    places = [column for _ in range(3) for column in st.columns(2, gap="medium")]  # by rows: a phone keeps the order
    for place, one in zip(places, found.measures, strict=False):
        with place:
            _heading(one)
            figure = charts.areas(histogram(one)) if kind == HISTOGRAM else charts.lines(cumulative(one))
            figure.update_traces(mode="lines", line_shape="hvh" if kind == HISTOGRAM else "hv")
            charts.draw(figure, f"research_{one.measure}", HEIGHT)
    with places[len(found.measures)]:
        st.text("Gray levels of all pixels", help="0 is black, 255 white; the share of all pixels of a set.")
        charts.draw(charts.areas(gray_levels(scene.sides)), "research_gray_levels", HEIGHT)


def _line(one: Comparison) -> dict[str, str]:
    """A measure in words, for the table."""
    ends = one.ratio.interval
    return {
        "Measure": MEASURES[one.measure].title,
        f"Real (n = {len(one.real):,})": value_text(one.mean, one.mean.real),
        f"Generated (n = {len(one.generated):,})": value_text(one.mean),
        "Ratio to real": NOT_MEASURED if one.ratio.value is None else f"{one.ratio.value:.3g}",
        "95 % interval": f"{ends[0]:.3g} to {ends[1]:.3g}" if ends else one.ratio.reason or "needs 10 a side",
        "Gap (KS)": NOT_MEASURED if one.gap is None else f"{one.gap:.2f}",
        "p": NOT_MEASURED if one.p is None else "< 0.001" if one.p < 0.001 else f"{one.p:.3f}",
        "In words": one.verdict,
    }


def _heading(one: Comparison) -> None:
    measure = MEASURES[one.measure]
    st.text(
        f"{measure.title}: real {value_text(one.mean, one.mean.real)}, generated {value_text(one.mean)}",
        help=plain(f"{measure.help} {BETTER[measure.direction].capitalize()}."),
    )
