"""A map of the images: a point each, alike ones near each other; a click shows the image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from pages.parts import charts
from pages.parts.dataset.image import FACT_NAMES, describe, draw_row
from pages.parts.dataset.request import is_asked
from pages.parts.dataset.source import Explored
from pages.parts.services import encoders_key, plain, studio
from xray_generator.dashboards.embedding import METHODS, Embedding, Features, allows_tsne, embed, extract
from xray_generator.data.exploration import FACTS, NOT_KNOWN, count_findings, evenly, fact, fingerprint
from xray_generator.data.rows import Row, finding_name
from xray_generator.types import StudioError

MOST = 500  # images
HEIGHT = 560  # pixels


def draw_map(rows: Sequence[Row], explored: Explored) -> None:
    """Draw a map of at most 500 of the rows, one or more."""
    chosen = evenly(rows, MOST)
    key = f"{fingerprint(chosen)} {encoders_key(studio().encoder_root)}"
    st.caption("Near points are images that the feature space finds alike. Click a point to see its image.")
    if not is_asked(f"Draw a map of {len(chosen):,} images", "dataset_draw_map", key, len(chosen)):
        return
    try:
        features = _extract(key, chosen, studio().encoder_root)
        color, method = _draw_fields(features, explored)
        points = _embed(key, method, features)
    except (StudioError, OSError) as error:
        st.error(plain(error))
        return
    chart, detail = st.columns([3, 2], gap="medium")
    with chart:
        picked = _draw_points(features, points, color, explored)
        _draw_basis(features, points, len(rows))
    with detail:
        if picked is None:
            st.info("Click a point to see its image here.")
        else:
            draw_row(features.rows[picked], explored, "dataset_map")


@st.cache_data(max_entries=8, show_spinner="Looking at the images", scope="session")
def _extract(key: str, _rows: Sequence[Row], _encoders: Path) -> Features:  # noqa: ARG001 - the key stands for both
    return extract(_rows, _encoders)


@st.cache_data(max_entries=16, show_spinner="Drawing the map", scope="session")
def _embed(key: str, method: str, _features: Features) -> Embedding:  # noqa: ARG001 - the key stands for the features
    return embed(_features, method)


def _draw_fields(features: Features, explored: Explored) -> tuple[str, str]:
    colors, methods = st.columns([1, 1])
    findings = list(count_findings(explored.dataset.rows).query("present > 0").index)
    color = colors.selectbox(
        "Color by",
        [*FACTS, *findings],
        index=FACTS.index("source"),
        key=f"dataset_{explored.key}_color_{len(findings)}",
        format_func=lambda name: FACT_NAMES.get(name) or f"Finding: {finding_name(name)}",
        persist_state="session",
    )
    possible = METHODS if allows_tsne(len(features.rows)) else METHODS[:1]
    method = methods.segmented_control(
        "Axes",
        possible,
        default=possible[0],
        required=True,
        key=f"dataset_map_method_{len(possible)}",
        persist_state="session",
        help="PCA: the two directions in which images differ most; distances mean something. t-SNE: groups of alike"
        " images; only nearness means something.",
    )
    return color, method


def _groups(rows: Sequence[Row], color: str) -> list[str]:
    if color in FACTS:
        return [fact(row, color).replace("_", " ") or NOT_KNOWN for row in rows]
    name = finding_name(color)
    return [name if color in row.findings else f"{name} not stated" for row in rows]


def _draw_points(features: Features, embedding: Embedding, color: str, explored: Explored) -> int | None:
    """Draw the points; return the place of the one that is selected."""
    x, y = embedding.points.T.tolist()
    hover = [f"{describe(row)}<br>{row.path.name}" for row in features.rows]
    figure = charts.scatter(x, y, _groups(features.rows, color), hover, embedding.axes)
    figure.update_layout(
        height=HEIGHT,
        margin=charts.MARGIN,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        clickmode="event+select",
    )
    event: Any = st.plotly_chart(
        figure,
        key=f"dataset_{explored.key}_map",
        on_select="rerun",
        selection_mode="points",
        config=charts.CONFIG,
        width="stretch",
    )
    for point in event.selection.points:
        place = point.get("customdata")
        place = place[0] if isinstance(place, list | tuple) else place
        if isinstance(place, int) and 0 <= place < len(features.rows):
            return place
    return None


def _draw_basis(features: Features, embedding: Embedding, num_rows: int) -> None:
    n = len(features.rows)
    of = f" of {num_rows:,}, evenly spread" if n < num_rows else ""
    dimension = features.values.shape[1]
    st.caption(plain(f"{embedding.method} of {dimension} features, {features.space}; n = {n:,}{of}."))
    for note in (*features.notes, *features.skipped):
        st.caption(plain(note))
