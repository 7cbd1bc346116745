"""A preset under one's hands: switch its operations, move their parameters, see the result beside the raw image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from pages.parts.enhancement.grid import LEGEND, cost_text, label, raw_text, tile, title
from pages.parts.enhancement.save import SAVED, draw_actions
from pages.parts.services import plain
from postprocess.operations import Clahe, Equalize, Median, Operation, Scale, Sharpen, Vignette, Window
from postprocess.presets import PRESETS, Preset, get_preset
from xray_generator.export.archive import RAW, Source
from xray_generator.types import StudioError

BASE, ROUND = "preset_base", "preset_round"
ORDER: tuple[Operation, ...] = (Median(), Equalize(0.1), Clahe(), Window(), Sharpen(), Vignette())  # as in the table


@st.fragment
def draw_editor(source: Source, presets: Sequence[Preset]) -> None:
    """Draw the editor; only this part of the page runs again while a slider moves."""
    _follow_save(presets)
    controls, images = st.columns([2, 3], gap="medium")
    with controls:
        base = get_preset(_pick_base(presets), presets)
        with st.container(height=470, gap="xsmall"):
            operations = tuple(_draw_operations(base))
        name = base.name if operations == base.operations else f"{title(base)[:50]}, edited"
        edited = Preset(name, operations)
    with images:
        _draw_images(source, edited)
        try:
            draw_actions(source, base, edited)
        except (StudioError, OSError) as error:
            st.error(plain(error))


def _follow_save(presets: Sequence[Preset]) -> None:
    """After a save, start from the saved preset; after a deletion, from the first one that does something."""
    state = st.session_state
    state.setdefault(ROUND, 0)
    if saved := state.pop(SAVED, None):
        state[ROUND] += 1
        state[BASE] = saved
        st.toast("Saved. It is among the presets on every page now.")
    if state.get(BASE) not in {preset.name for preset in presets}:
        state[BASE] = PRESETS[1].name


def _pick_base(presets: Sequence[Preset]) -> str:
    field, button = st.columns([3, 1], vertical_alignment="bottom")
    names = {preset.name: title(preset) for preset in presets}
    base = field.selectbox("Start from", list(names), format_func=names.__getitem__, key=BASE, persist_state="session")
    button.button("Reset", key="preset_reset", on_click=_reset, width="stretch", help="Back to the preset's own values")
    return base


def _reset() -> None:
    st.session_state[ROUND] += 1


def editable(preset: Preset) -> list[tuple[Operation, bool]]:
    """A preset's operations in their order, switched on, and between them the missing ones, switched off."""
    rank = {operation.kind: index for index, operation in enumerate(ORDER)}
    slots = [(operation, True) for operation in preset.operations]
    present = {operation.kind for operation in preset.operations}
    for missing in (operation for operation in ORDER if operation.kind not in present):
        later = (i for i, (other, _) in enumerate(slots) if rank[other.kind] > rank[missing.kind])
        slots.insert(next(later, len(slots)), (missing, False))
    return slots


def _draw_operations(base: Preset) -> Iterator[Operation]:
    for index, (operation, is_on) in enumerate(editable(base)):
        key = f"preset_{st.session_state[ROUND]}_{base.slug}_{index}"
        if st.toggle(type(operation).__name__, is_on, key=key, persist_state="page"):
            yield _draw_parameters(operation, key)


def _draw_parameters(operation: Operation, key: str) -> Operation:
    """The operation with the values of its sliders, one row of them."""
    parts = [(name, part, value) for name in operation.SCALES for part, value in _parts(name, getattr(operation, name))]
    places = st.columns(len(parts), gap="small")
    values: dict[str, Any] = {}
    for place, (name, part, value) in zip(places, parts, strict=True):
        with place:
            moved = _slider(part.replace("_", " "), operation.SCALES[name], value, f"{key}_{part}")
        values[name] = (*values.get(name, ()), moved) if part != name else moved
    return replace(operation, **values)


def _parts(name: str, value: float | tuple[int, int]) -> list[tuple[str, float]]:
    """A parameter's numbers by label; the CLAHE grid has two."""
    return list(zip(("columns", "rows"), value, strict=True)) if isinstance(value, tuple) else [(name, value)]


def _slider(label: str, scale: Scale, value: float, key: str) -> float:
    number = type(scale.step)
    low, high, step = (number(part) for part in scale)
    form = f"{label.split()[0]} {'%d' if number is int else '%.2f'}"
    return number(
        st.slider(
            label, low, high, number(value), step, form, key=key, label_visibility="collapsed", persist_state="page"
        )
    )


def _draw_images(source: Source, edited: Preset) -> None:
    raw, result = tile(source, RAW), tile(source, edited)
    left, right = st.columns(2)
    left.image(raw.png, width="stretch", output_format="PNG", alt=label(source, RAW))
    left.caption(f"**{label(source, RAW)}** · {raw_text(raw.cost)}")
    right.image(result.png, width="stretch", output_format="PNG", alt="Edited")
    right.caption(f"**Edited{' · synthetic' if source.recipe else ''}** · {cost_text(result.cost)}", help=LEGEND)
