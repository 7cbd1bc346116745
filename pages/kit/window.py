"""The window through which a CT image is looked at."""

from __future__ import annotations

import streamlit as st

from pages.kit.sampling import field_key
from xray_generator.dicom.hounsfield import WINDOWS, Window

CUT = "were cut off in the training data"


def draw_window(own: Window, name: str, *, first: str = "", cut: str = CUT, help: str, note: str = "") -> Window:
    """Draw the choice of a window: `own`, which is all that the image has, one of WINDOWS, or one's own.

    Args:
        own: the Hounsfield units that the image holds.
        name: of what the choice belongs to; it ends the session's keys.
        first: the name in WINDOWS of the window to start with; `own` without it.
        cut: what became of the values outside `own`; empty where there are none.
        help: what the choice does, and what it leaves alone.
        note: a sentence for the line below.
    """
    whole = next((f"{preset} (full range)" for preset, window in WINDOWS.items() if window == own), "full range")
    choices = {whole: own} | {preset: window for preset, window in WINDOWS.items() if window != own}
    key, level_key, width_key = (field_key(part, name) for part in ("window", "window level", "window width"))
    defaults = {key: first if first in choices else whole, level_key: round(own.level), width_key: round(own.width)}
    for field, value in defaults.items():
        st.session_state.setdefault(field, value)
    choice, level, width = st.columns([5, 2, 2], vertical_alignment="bottom")
    chosen = choice.segmented_control(
        "Window", [*choices, "custom"], key=key, required=True, persist_state="session", help=help
    )
    seen = choices.get(chosen or whole)
    if seen is None:
        seen = Window(
            level.number_input("Level (HU)", -2_000, 4_000, step=10, key=level_key, persist_state="session"),
            width.number_input("Width (HU)", 1, 5_000, step=10, key=width_key, persist_state="session"),
        )
    said = [f"{seen.low:,.0f} to {seen.high:,.0f} HU.", note]
    if cut and (seen.low < own.low or seen.high > own.high):
        said.insert(1, f"Values outside {own.low:,.0f} to {own.high:,.0f} HU {cut}, so they cannot be shown.")
    elif cut and seen == own:
        said.insert(1, f"Values outside this range {cut}.")
    st.caption(" ".join(filter(None, said)))
    return seen
