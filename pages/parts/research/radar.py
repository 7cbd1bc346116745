"""Ratios to real on a radar: of the images shown now, and of the checkpoint's stored record beside them."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from pages.parts import charts
from pages.parts.research.measured import comparisons, mean_images, neighborhood, stored_record
from pages.parts.research.scene import Scene
from pages.parts.services import plain
from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.board import age
from xray_generator.dashboards.series import spokes
from xray_generator.dashboards.side_by_side import MIN_SET
from xray_generator.evaluation.records import Record
from xray_generator.evaluation.summary import NOT_MEASURED

HEIGHT = 420


def draw_radar(scene: Scene) -> None:
    """Draw both radars."""
    left, right = st.columns(2, gap="medium")
    with left:
        st.text("The images shown now")
        _draw_now(scene)
    with right:
        st.text("The stored record")
        _draw_stored(scene.manifest)
    st.caption(
        f"Each spoke is a measure that is best as on real images, divided by the same on real films: the blue ring, 1, "
        f"is as real. What is above {charts.RADAR_LIMIT:g} lies on the rim; the tables have the numbers."
    )


def _draw_now(scene: Scene) -> None:
    from xray_generator.dashboards.distributions import ratios_now
    from xray_generator.dashboards.neighbors import PIXELS

    sides = scene.sides
    if sides.smaller < MIN_SET:
        st.info(f"A radar needs {MIN_SET} images a side; here are {len(sides.real)} real and {len(sides.generated)}.")
        return
    ratios = ratios_now(comparisons(sides), mean_images(sides), neighborhood(sides, PIXELS).medians)
    _draw(ratios, "research_radar_now")
    st.caption(f"n = {len(sides.generated):,} generated, {len(sides.real):,} real ({sides.split}).")


def _draw_stored(manifest: Manifest) -> None:
    record = stored_record(manifest)
    if record is None:
        st.info("There is no record of this checkpoint. `python -m xray_generator.evaluate` makes one.")
        return
    _draw(spokes(record), "research_radar_stored")
    draw_origin(record, manifest)


def draw_origin(record: Record, manifest: Manifest) -> None:
    """Say what a record was measured on, and how old it is."""
    settings = record.settings
    st.caption(
        plain(
            f"Suite {record.suite}, n = {settings.get('num_images', NOT_MEASURED)} generated, "
            f"{settings.get('num_real', NOT_MEASURED)} real films of {settings.get('real', 'unknown')} "
            f"({settings.get('split', 'no')} split), measured {record.created[:10]}, {age(record.created)}."
        )
    )
    if record.checkpoint != manifest.ref:
        st.warning("The weights were replaced since this record was made: it does not speak of them.")


def _draw(ratios: Mapping[str, float | None], key: str) -> None:
    charts.draw(charts.radar(ratios), key, HEIGHT)
    numbers = [NOT_MEASURED if ratio is None else f"{ratio:.2f}" for ratio in ratios.values()]
    st.dataframe({"Measure": list(ratios), "Times real": numbers}, hide_index=True, width="stretch", key=f"{key}_table")
