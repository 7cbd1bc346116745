"""The window through which a CT image is seen, in Hounsfield units; what is downloaded stays as it was drawn."""

from __future__ import annotations

import streamlit as st

from pages.parts.sampling import field
from pages.parts.services import studio
from xray_generator.dicom.hounsfield import WINDOWS, Window
from xray_generator.types import CheckpointRef, Image, StudioError

CUSTOM = "custom"
LOWEST, HIGHEST = -2_000, 4_000  # HU


def own_window(checkpoint: CheckpointRef) -> Window | None:
    """The Hounsfield units that a checkpoint's images show; None where it draws no CT, or is no longer here."""
    try:
        return studio().manifest(checkpoint.full_name).hu_window
    except StudioError:
        return None


def draw_window(own: Window, name: str, *, is_enhanced: bool) -> Window:
    """Draw the choice; return what is to be seen. `name`: the checkpoint's."""
    first = next((f"{preset} (as drawn)" for preset, window in WINDOWS.items() if window == own), "as drawn")
    choices = {first: own} | {preset: window for preset, window in WINDOWS.items() if window != own}
    key = field("window", name)
    st.session_state.setdefault(key, first)
    choice, level_field, width_field = st.columns([5, 2, 2], vertical_alignment="bottom")
    chosen = choice.segmented_control(
        "Window",
        [*choices, CUSTOM],
        key=key,
        required=True,
        persist_state="session",
        help="What of the CT scale is shown, black to white. It changes what is seen here, not what is downloaded.",
    )
    seen = choices.get(chosen or first) or _draw_custom(own, name, level_field, width_field)
    st.caption(_told(own, seen, is_enhanced=is_enhanced))
    return seen


def through(image: Image, own: Window | None, seen: Window | None) -> Image:
    """An image of one window as another shows it; the same where there is none or no other."""
    return image if own is None or seen is None or seen == own else seen.apply(own.invert(image))


def _draw_custom(
    own: Window,
    name: str,
    level_field: st.delta_generator.DeltaGenerator,
    width_field: st.delta_generator.DeltaGenerator,
) -> Window:
    level_key, width_key = field("window level", name), field("window width", name)
    st.session_state.setdefault(level_key, round(own.level))
    st.session_state.setdefault(width_key, max(1, round(own.width)))
    level = level_field.number_input("Level (HU)", LOWEST, HIGHEST, step=10, key=level_key, persist_state="session")
    width = width_field.number_input("Width (HU)", 1, HIGHEST, step=10, key=width_key, persist_state="session")
    return Window(level, width)


def _told(own: Window, seen: Window, *, is_enhanced: bool) -> str:
    text = f"{seen.low:,.0f} to {seen.high:,.0f} HU."
    if seen.low < own.low or seen.high > own.high:
        text += (
            f" The model knows {own.low:,.0f} to {own.high:,.0f} HU: what lies beyond was clipped, and is not there."
        )
    elif seen == own:
        text += " What lies beyond was clipped before the model learned: it was never there."
    return text + (" Enhanced gray levels are no true HU." if is_enhanced else "")
