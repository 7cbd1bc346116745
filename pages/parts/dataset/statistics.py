"""How the images of a dataset are distributed: sharpness, contrast and the like, and the mean image."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st

from pages.parts import charts
from pages.parts.dataset.image import FACT_NAMES
from pages.parts.dataset.request import is_asked
from pages.parts.dataset.source import Explored
from pages.parts.services import plain
from xray_generator.dashboards.dataset_images import SIZE, ImageStatistics, measure_rows, stretched
from xray_generator.data.exploration import FACTS, NOT_KNOWN, evenly, fact, fingerprint
from xray_generator.data.rows import Row
from xray_generator.evaluation.measures import MEASURES
from xray_generator.types import StudioError

MOST = 500  # images
FEW_SIZES = 5


def draw_statistics(rows: Sequence[Row], explored: Explored) -> None:
    """Draw what is measured on at most 500 of the rows, one or more."""
    chosen = evenly(rows, MOST)
    of = f" of {len(rows):,}, evenly spread" if len(chosen) < len(rows) else ""
    key = fingerprint(chosen)
    st.caption(f"Each image at {SIZE} x {SIZE} pixels, as in training; {len(chosen):,} images{of}.")
    if not is_asked(f"Measure {len(chosen):,} images", "dataset_measure", key, len(chosen)):
        return
    try:
        found = _measure(key, chosen)
    except (StudioError, OSError) as error:
        st.error(plain(error))
        return
    group = st.segmented_control(
        "Compare by",
        FACTS,
        format_func=FACT_NAMES.__getitem__,
        required=True,
        default="source",
        key="dataset_group",
        persist_state="session",
        disabled=not explored.has_table,
    )
    _draw_boxes(found, group)
    _draw_mean(found)
    for reason in found.skipped:
        st.text(reason)


@st.cache_data(max_entries=16, show_spinner="Measuring the images", scope="session")
def _measure(key: str, _rows: Sequence[Row]) -> ImageStatistics:  # noqa: ARG001 - the key stands for the rows
    return measure_rows(_rows)


def _draw_boxes(found: ImageStatistics, group: str) -> None:
    groups = [fact(row, group) or NOT_KNOWN for row in found.rows]
    columns = st.columns(2)
    for place, (name, values) in enumerate(found.values.items()):
        measure = MEASURES[name]
        with columns[place % 2]:
            st.markdown(f"**{measure.title}**", help=plain(measure.help))
            charts.draw(_boxes(values.tolist(), groups, measure.unit or "value"), f"dataset_{name}", _height(groups))
    with columns[len(found.values) % 2]:
        st.markdown(
            "**Native size**", help="Short side in pixels, of the file or of the original where that was smaller."
        )
        figure = _sizes([row.native_size for row in found.rows], groups)
        charts.draw(figure, "dataset_native_size", _height(groups))
    st.caption("Box: the middle half of the images, with the median; whiskers reach 1.5 times as far; dots lie beyond.")


def _boxes(values: Sequence[float], groups: Sequence[str], label: str) -> go.Figure:
    """A horizontal box for each group, in order of name, with its n."""
    figure = go.Figure()
    for name, color in charts.color_of(sorted(set(groups))).items():
        inside = [value for value, group in zip(values, groups, strict=True) if group == name]
        figure.add_box(
            x=inside,
            name=charts.label(f"{name.replace('_', ' ')}<br>n = {len(inside):,}"),
            marker_color=color,
            marker_size=3,
            showlegend=False,
        )
    figure.update_xaxes(title=label)
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure


def _sizes(sizes: Sequence[int], groups: Sequence[str]) -> go.Figure:
    """Boxes of the sizes that are known; bars with the number of images where there are few sizes."""
    known = [(float(size), group) for size, group in zip(sizes, groups, strict=True) if size]
    distinct = sorted({size for size, _ in known})
    if len(distinct) > FEW_SIZES:
        return _boxes([size for size, _ in known], [group for _, group in known], "pixels")
    names = sorted(set(groups))
    figure = go.Figure()
    for size, color in zip(distinct, charts.OTHERS, strict=False):
        numbers = [known.count((size, name)) for name in names]
        figure.add_bar(
            y=[charts.label(name.replace("_", " ")) for name in names],
            x=numbers,
            name=f"{size:g} pixels",
            orientation="h",
            marker_color=color,
        )
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title="images")
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure


def _height(groups: Sequence[str]) -> int:
    return 110 + 52 * len(set(groups))


def _draw_mean(found: ImageStatistics) -> None:
    n = len(found.rows)
    mean, deviation, _ = st.columns([2, 2, 1])
    with mean:
        st.markdown("**Mean image**")
        st.image(found.mean, width="stretch", output_format="PNG", alt=f"Mean of {n} images")
        st.caption(f"n = {n:,}. What all of them share stands out; what differs is blurred.")
    with deviation:
        st.markdown("**Standard deviation of each pixel**")
        st.image(stretched(found.deviation), width="stretch", output_format="PNG", alt=f"Deviation over {n} images")
        low, high = (f"{float(end):.2f}" for end in (found.deviation.min(), found.deviation.max()))
        st.caption(f"n = {n:,}. Bright where images differ most: black is {low}, white {high} of the gray scale.")
