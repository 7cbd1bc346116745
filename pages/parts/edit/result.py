"""One edited patient: before, after, what changed in gray levels and to the classifier, and the files."""

from __future__ import annotations

import streamlit as st

from pages.parts.edit.verdict import draw_verdict
from pages.parts.services import plain
from pages.parts.viewer import draw_viewer
from xray_generator.dashboards.difference import Difference, comparison_strip, difference
from xray_generator.dashboards.edit_runs import Counterfactual, verdict_csv
from xray_generator.export.pictures import Picture, pictures
from xray_generator.types import NOTICE, Edit

ABOVE_AND_BELOW_PX = 480  # so that the images and the classifier's figures fit the window
DIFFERENCE = "After − before"


def draw_result(found: Counterfactual) -> None:
    """Draw one edit."""
    after, edit = found.edit.after, found.edit.after.origin
    assert isinstance(edit, Edit)
    st.text(f"{edit.source_prompt or 'An upload, not described'}\n→ {edit.prompt}")
    for note in after.notes:
        st.warning(plain(note))
    changed = difference(found.edit.before, after.images[0])
    is_given = bool(edit.image_sha256)
    before = "Before, as the model holds the film" if is_given else "Before"
    images, heat = st.columns([2, 1], vertical_alignment="bottom")
    with images:
        draw_viewer({before: found.edit.before, "After": after.images[0]}, "edit_viewer", space_px=ABOVE_AND_BELOW_PX)
    with heat.container(gap=None):
        st.image(changed.map(), width="stretch", output_format="PNG", alt="Difference map")
        st.caption(DIFFERENCE)
    st.caption(_difference_text(changed))
    draw_verdict(found.verdict)
    _draw_downloads(found, changed, pictures(after, 0)[0], before)


def _difference_text(changed: Difference) -> str:
    return plain(
        f"Difference: blue became darker, red brighter; full color at {1 / changed.gain:.1%} of the gray scale "
        f"(gain {changed.gain}). Mean absolute difference: {changed.mean_absolute:.2%} of the gray scale."
    )


def _draw_downloads(found: Counterfactual, changed: Difference, after: Picture, before: str) -> None:
    stem = after.file_name.removesuffix(".png")
    panels = {
        before: found.edit.before,
        "After, synthetic": after.image,
        f"{DIFFERENCE}, gain {changed.gain}": changed.map(),
    }
    with st.container(horizontal=True):
        st.download_button(
            "PNG after",
            after.png,
            after.file_name,
            "image/png",
            key="edit_png",
            on_click="ignore",
            help="With the recipe inside.",
        )
        st.download_button(
            "Strip of all three",
            lambda: comparison_strip(panels, {"Description": NOTICE}),
            f"{stem}_strip.png",
            "image/png",
            key="edit_strip",
            on_click="ignore",
        )
        if found.verdict.changes:
            st.download_button(
                "Probabilities as CSV",
                verdict_csv(found.verdict),
                f"{stem}.csv",
                "text/csv",
                key="edit_csv",
                on_click="ignore",
            )
