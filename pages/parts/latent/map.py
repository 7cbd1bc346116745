"""A map of the latents: samples of every class as points, and an image of one's own among them."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from pages.parts import charts
from pages.parts.latent.reconstruct import PLACED
from pages.parts.latent.work import draw_start, draw_work, load, words
from pages.parts.services import job_queue
from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.latent_space import PER_CLASS, Copy, LatentMap, map_latents

HEIGHT = 560  # pixels
COLORS = (charts.REAL, charts.GENERATED, *charts.OTHERS)
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross")
PRIVACY = (
    "Every point is synthetic: a sample from the prior. Latents of training images are never shown, for an image can "
    "be made of them again."
)


def draw_map(manifest: Manifest) -> None:
    """Draw the tab."""
    key = f"latent map {manifest.ref.sha256}"
    form, chart = st.columns([1, 3], gap="medium")
    with form:
        count = PER_CLASS * len(manifest.labels)
        draw_start(f"Draw a map of {count} samples", "map", key, partial(map_latents, load(manifest), manifest.labels))
        st.caption(PRIVACY)
        own = _own(manifest)
        if own is None:
            st.caption("An image that you reconstruct (uploaded or generated) can be added here.")
        elif not st.toggle("Add the reconstructed image", value=True, key="latent_map_own", persist_state="session"):
            own = None
    with chart:
        found: LatentMap | None = draw_work(key, "A point for each sample appears here, colored by class.")
        if found is not None:
            _draw_points(found, own)
            st.download_button(
                "Points CSV",
                found.csv(),
                f"{manifest.name}_latent_map.csv",
                "text/csv",
                key="latent_map_csv",
                on_click="ignore",
                icon=":material/download:",
                help="Class, seed and place of each synthetic sample.",
            )


def _own(manifest: Manifest) -> Copy | None:
    """The image last reconstructed by this checkpoint, where it is in memory and no training image."""
    key = st.session_state.get(PLACED, "nothing")
    job = job_queue().get(st.session_state.get(key, ""))
    return job.result if job is not None and job.state == "done" and manifest.ref.sha256 in key else None


def _draw_points(found: LatentMap, own: Copy | None) -> None:
    x, y = found.points.T.tolist()
    hover = [f"{words(label)}, seed {seed}" for label, seed in zip(found.labels, found.seeds, strict=True)]
    axes = [f"component {i + 1} ({share:.0%} of variance)" for i, share in enumerate(found.shares)]
    figure: Any = charts.scatter(x, y, [words(label) for label in found.labels], hover, (axes[0], axes[1]))
    for i, trace in enumerate(figure.data):
        trace.marker = {
            "color": COLORS[i % len(COLORS)],
            "symbol": SYMBOLS[i % len(SYMBOLS)],
            "size": 8,
            "opacity": 0.8,
        }
    if own is not None:
        left, up = found.place(own.latents)
        figure.add_scatter(
            x=[left],
            y=[up],
            mode="markers",
            name=charts.label(f"your image, as {words(own.label)}"),
            marker={"symbol": "star", "size": 18, "color": "#D32F2F", "line": {"width": 1, "color": "white"}},
            hovertemplate="your image<extra></extra>",
        )
    charts.draw(figure, "latent_map_chart", HEIGHT)
    st.caption(
        f"PCA of {len(found.labels)} latents, {PER_CLASS} a class, seeds from 0 on: the Generator draws the image of a "
        "point from its class and seed. Classes that lie upon each other here may be apart in other components."
    )
