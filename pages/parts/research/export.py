"""What of the research dashboard can be taken along: every number as CSV, both sets as one picture."""

from __future__ import annotations

from functools import partial

import streamlit as st

from pages.parts.research.measured import comparisons
from pages.parts.research.scene import Scene
from pages.parts.services import plain
from xray_generator.dashboards.prompts import condition_title
from xray_generator.dashboards.side_by_side import Sides, small
from xray_generator.export.sheet import REAL_NOTICE, SheetRow, encode_sheet
from xray_generator.types import NOTICE

SIDE, MOST, COLUMNS = 160, 24, 8  # pixels, images of each set, images to a line


def draw_export(scene: Scene) -> None:
    """Draw the downloads."""
    sides = scene.sides
    if not sides.smaller:
        st.info("There is nothing to compare: a side has no image of this condition.")
        return
    name = f"{scene.manifest.name}_{sides.condition or 'any'}"
    st.text(
        f"{len(sides.real):,} real films ({sides.split}) beside {len(sides.generated):,} generated images of "
        f"{scene.manifest.name}; condition: {condition_title(sides.condition)}"
    )
    with st.container(horizontal=True):
        st.download_button(
            "All measures as CSV",
            partial(_csv, sides),
            f"{name}_measures.csv",
            "text/csv",
            key="research_csv",
            on_click="ignore",
        )
        st.download_button(
            "Comparison sheet as PNG",
            partial(_sheet, scene),
            f"{name}_sheet.png",
            "image/png",
            key="research_sheet",
            on_click="ignore",
        )
    st.caption(
        plain(
            "The table has a line for each image: side, file, caption, condition and every measure. The sheet shows at "
            f"most {MOST} of each set, marked as real or synthetic. Of real films, heed the license of each source."
        )
    )


def _csv(sides: Sides) -> bytes:
    from xray_generator.dashboards.distributions import to_csv

    return to_csv(sides, comparisons(sides)).encode()


def _sheet(scene: Scene) -> bytes:
    sides, condition = scene.sides, condition_title(scene.sides.condition)
    real, generated = sides.real.images[:MOST], sides.generated.images[:MOST]
    return encode_sheet(
        [
            SheetRow(
                f"{REAL_NOTICE} {len(real)} of {len(sides.real)} real films, {sides.split} split, {condition}",
                small(real, SIDE),
            ),
            SheetRow(
                f"{NOTICE} {len(generated)} of {len(sides.generated)} images of {scene.manifest.name}, {condition}",
                small(generated, SIDE),
            ),
        ],
        COLUMNS,
    )
