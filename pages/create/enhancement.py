"""Enhancement comparison: one image through every preset, an A/B slider, and an editor for presets of one's own."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.parts.enhancement.editor import draw_editor
from pages.parts.enhancement.grid import cost_text, draw_grid, label, tile, title
from pages.parts.enhancement.slider import compare_slider
from pages.parts.enhancement.source import draw_origin, pick_source
from pages.parts.services import plain, studio
from postprocess.presets import PRESETS, Preset, get_preset
from xray_generator.export.archive import Source
from xray_generator.types import StudioError

GRID, SLIDER, EDITOR = "Side by side", "A/B slider", "Edit a preset"


def main() -> None:
    """Draw the page."""
    try:
        source = pick_source()
    except (StudioError, OSError) as error:
        st.error(plain(error))
        return
    if source is None:
        return
    draw_origin(source)
    presets = _presets()
    grid, slider, editor = st.tabs([GRID, SLIDER, EDITOR], key="enhancement_tab", on_change="rerun")
    with grid:
        if grid.open:
            draw_grid(source, presets)
    with slider:
        if slider.open:
            _draw_slider(source, presets)
    with editor:
        if editor.open:
            draw_editor(source, presets)


def _presets() -> Sequence[Preset]:
    try:
        return studio().presets()
    except StudioError as error:
        st.error(plain(f"The saved presets cannot be read. {error}"))
        return PRESETS


def _draw_slider(source: Source, presets: Sequence[Preset]) -> None:
    fields, slider = st.columns([1, 3], gap="medium")
    with fields:
        left = _pick("Left", PRESETS[0], presets, source)
        right = _pick("Right", PRESETS[1], presets, source)
        st.caption("Drag the divider, or click it and use the arrow keys.")
    height, width = source.image.shape
    with slider:
        compare_slider(
            tile(source, left).png,
            label(source, left),
            tile(source, right).png,
            label(source, right),
            ratio=width / height,
            key="enhancement_slider",
        )


def _pick(label: str, first: Preset, presets: Sequence[Preset], source: Source) -> Preset:
    key = f"enhancement_{label}"
    names = {preset.name: title(preset) for preset in presets}
    if st.session_state.get(key) not in names:
        st.session_state[key] = first.name
    name = st.selectbox(label, list(names), format_func=names.__getitem__, key=key, persist_state="session")
    preset = get_preset(name, presets)
    st.caption(cost_text(tile(source, preset).cost) if preset.operations else "the reference")
    return preset


main()
