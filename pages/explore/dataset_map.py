"""The map of a dataset: images as points, similar ones near each other."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import streamlit as st

from pages.explore.dataset_images import FACT_NAMES, Explored, Sample, confirm, describe, draw_row, value_name
from pages.kit import charts
from pages.kit.services import encoders_key, escape_markdown, explain_faults, studio
from xray_generator.dashboards.embedding import METHODS, Embedding, Features, allows_tsne, embed, extract
from xray_generator.data.exploration import FACTS, NOT_KNOWN, count_findings, fact, known_facts
from xray_generator.data.rows import Row, finding_name

MAP_HEIGHT = 560  # pixels


@st.fragment
@explain_faults()
def draw_map(rows: Sequence[Row], explored: Explored) -> None:
    """Draw the images as points, similar ones near each other, and the image of the selected point."""
    sample, encoders = Sample.of(rows), studio().encoder_root
    n = len(sample.rows)
    st.caption("Nearby points are images with similar features. Click a point to see its image.")
    if not confirm(f"Map {n:,} images", "dataset_draw_map", f"{sample.digest} {encoders_key(encoders)}", n):
        return
    features = _extract(sample, encoders)
    color, method = _draw_map_fields(features, explored)
    embedding = _embed(features, method)
    chart, detail = st.columns([3, 2], gap="medium")
    with chart:
        selected = _draw_points(features, embedding, color, explored)
        basis = f"{embedding.method} of {features.values.shape[1]} features, {features.space}"
        of = f" of {len(rows):,}, evenly spread" if n < len(rows) else ""
        st.caption(escape_markdown(f"{basis}; n = {len(features.rows):,}{of}."))
        for note in (*features.notes, *features.skipped):
            st.caption(escape_markdown(note))
    with detail:
        if selected is None:
            st.info("Click a point to see its image here.")
        else:
            draw_row(features.rows[selected], explored, "dataset_map")


@st.cache_data(
    max_entries=8,
    show_spinner="Extracting features",
    scope="session",
    hash_funcs={Sample: attrgetter("digest"), Path: encoders_key},
)
def _extract(sample: Sample, encoders: Path) -> Features:
    return extract(sample.rows, encoders)


@st.cache_data(
    max_entries=16, show_spinner="Computing the map", scope="session", hash_funcs={Features: attrgetter("values")}
)
def _embed(features: Features, method: str) -> Embedding:
    return embed(features, method)


def _draw_map_fields(features: Features, explored: Explored) -> tuple[str, str]:
    """Draw what the color and the axes mean; return both."""
    colors, methods = st.columns([1, 1])
    findings = list(count_findings(explored.dataset.rows).query("present > 0").index)
    facts = known_facts(explored.dataset.rows)
    color = colors.selectbox(
        "Color by",
        [*facts, *findings],
        index=facts.index("label" if "label" in facts else "source"),
        key=f"dataset_{explored.key}_color_{len(findings)}",
        format_func=lambda name: FACT_NAMES.get(name) or f"Finding: {finding_name(name)}",
        persist_state="session",
    )
    possible = METHODS if allows_tsne(len(features.rows)) else METHODS[:1]
    method = methods.segmented_control(
        "Projection",
        possible,
        default=possible[0],
        required=True,
        key=f"dataset_map_method_{len(possible)}",
        persist_state="session",
        help="PCA: the two directions of largest variance; distances are meaningful. t-SNE: groups of similar images;"
        " only nearness is meaningful.",
    )
    return color, method


def _draw_points(features: Features, embedding: Embedding, color: str, explored: Explored) -> int | None:
    """Draw the points; return the index of the selected one."""
    if color in FACTS:
        groups = [value_name(fact(row, color), explored.classes) or NOT_KNOWN for row in features.rows]
    else:
        name = finding_name(color)
        groups = [name if color in row.findings else f"{name} not stated" for row in features.rows]
    x, y = embedding.points.T.tolist()
    hover = [f"{describe(row, explored.classes)}<br>{row.path.name}" for row in features.rows]
    figure = charts.scatter(x, y, groups, hover, embedding.axes)
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom"}
    figure.update_layout(height=MAP_HEIGHT, margin=charts.MARGIN, legend=legend, clickmode="event+select")
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
