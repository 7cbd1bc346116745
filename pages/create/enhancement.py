"""Enhancement comparison: one image through every preset, an A/B slider, and an editor for custom presets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Any

import streamlit as st

from pages.create.enhancement_source import pick_source
from pages.kit.services import explain_faults, known_presets, studio
from pages.kit.viewer import draw_slider, draw_viewer
from postprocess.cost import Cost, measure_cost
from postprocess.operations import Clahe, Equalize, Median, Operation, Scale, Sharpen, Vignette, Window
from postprocess.presets import (
    MAX_FILE_BYTES,
    MAX_NAME_CHARACTERS,
    PRESETS,
    Preset,
    apply,
    delete_preset,
    from_json,
    get_preset,
    save_preset,
    to_json,
)
from xray_generator.export.archive import RAW, Source, comparison_zip, encode_enhanced
from xray_generator.images import encode_png, limit_pixels
from xray_generator.types import StudioError

LEGEND = (
    "Good: an SSIM near 1 and no newly saturated pixels. Bad: pixels that became black or white and entropy that fell, "
    "which is detail that is gone. Entropy that rose is contrast spread over more gray levels, not new detail."
)
COLUMNS = {
    "Preset": None,
    "SSIM": "Structural similarity to the raw image: 1 is unchanged.",
    "Entropy": "Change of the Shannon entropy of the gray levels, in bits per pixel.",
    "Black": "Share of pixels at 0. In a CT image they lie below the window.",
    "White": "Share of pixels at 255. In a CT image they lie above the window.",
    "Newly saturated": "Share of pixels that are black or white and were not before.",
}  # of the costs, with what each means
TITLES = {
    "median": "Median (noise)",
    "equalize": "Equalize (global contrast)",
    "clahe": "CLAHE (local contrast)",
    "window": "Window (gray range)",
    "sharpen": "Sharpen (edges)",
    "vignette": "Vignette (dark corners)",
}  # of operations, by kind
MAX_SHOWN = 1_000_000  # pixels of an image on this page; downloads have all
BASE, ROUND, SAVED = "preset_base", "preset_round", "preset_saved"  # in the session, of the editor
ORDER: tuple[Operation, ...] = (
    Median(),
    Equalize(0.1),
    Clahe(),
    Window(),
    Sharpen(),
    Vignette(),
)  # as presets run them

_download = partial(st.download_button, on_click="ignore", icon=":material/download:")


@explain_faults()
def main() -> None:
    """Draw the page."""
    source = pick_source()
    if source is None:
        return
    presets = known_presets()
    tabs = st.tabs(["Side by side", "A/B slider", "Edit a preset"], key="enhancement_tab", on_change="rerun")
    for tab, draw in zip(tabs, (draw_grid, draw_comparison, draw_editor), strict=True):
        if tab.open:
            with tab:
                draw(source, presets)


@st.cache_data(max_entries=128, show_spinner=False, hash_funcs={Source: attrgetter("digest"), Preset: to_json})
def _enhance(source: Source, preset: Preset) -> tuple[bytes, Cost]:
    """A PNG of the source after a preset, at most MAX_SHOWN pixels, and what the preset cost at full size."""
    enhanced = apply(preset, source.image)
    return encode_png(limit_pixels(enhanced, MAX_SHOWN)), measure_cost(source.image, enhanced)


def _title(preset: Preset) -> str:
    """A preset's name; the one without operations is the raw image, and no other is called so."""
    if not preset.operations:
        return "Raw"
    return f"{preset.name} (preset)" if preset.name.casefold() == "raw" else preset.name


def _label(source: Source, preset: Preset) -> str:
    """The preset's name, and whether the image is synthetic."""
    return f"{_title(preset)}{' · synthetic' if source.is_synthetic else ''}"


def _describe_cost(cost: Cost) -> str:
    """A preset's cost in two lines of Markdown."""
    return (
        f"SSIM {cost.ssim_to_raw:.3f} · entropy {cost.entropy_change:+.2f} bit  \n"
        f"black {cost.black_fraction:.2%}, white {cost.white_fraction:.2%}, new {cost.newly_saturated_fraction:.2%}"
    )


def _draw_images(source: Source, images: Mapping[str, bytes], key: str, space_px: int) -> None:
    """Draw PNGs of a source side by side, the raw one first, to look at and measure."""
    is_real = st.session_state["enhancement_source"] == "Dataset" and not source.is_synthetic
    is_unknown = not (is_real or source.is_synthetic)
    draw_viewer(
        images,
        key,
        space_px=space_px,
        real=images if is_real else (),
        unknown=images if is_unknown else (),
        window=source.hu_window,
        unitless=list(images)[1:],
        spacing_mm=source.spacing_mm,
        reduction=max(1.0, math.sqrt(source.image.size / MAX_SHOWN)),
    )


def draw_grid(source: Source, presets: Sequence[Preset]) -> None:
    """The raw image and every preset, what each costs and its download, and all of them in one ZIP."""
    chosen = (RAW, *(preset for preset in presets if preset.operations))
    shown = {preset: _enhance(source, preset) for preset in chosen}
    _draw_images(source, {_title(preset): png for preset, (png, _) in shown.items()}, "enhancement_viewer", 420)
    costs = [
        (
            _title(preset),
            f"{cost.ssim_to_raw:.3f}" if preset.operations else "the reference",
            f"{cost.entropy_change:+.2f} bit" if preset.operations else "",
            f"{cost.black_fraction:.2%}",
            f"{cost.white_fraction:.2%}",
            f"{cost.newly_saturated_fraction:.2%}" if preset.operations else "",
        )
        for preset, (_, cost) in shown.items()
    ]
    st.dataframe(
        dict(zip(COLUMNS, zip(*costs, strict=True), strict=True)),
        hide_index=True,
        width="stretch",
        column_config={name: st.column_config.Column(help=text) for name, text in COLUMNS.items()},
        key="enhancement_costs",
    )
    st.caption(LEGEND)
    with st.container(horizontal=True):
        for preset in chosen:
            png = partial(encode_enhanced, source, preset)
            name = f"{source.digest}_{preset.slug}.png"
            _download(_title(preset), png, name, "image/png", key=f"enhancement_png_{preset.slug}", help="As PNG")
        _download(
            "Download all",
            partial(comparison_zip, source, tuple(presets)),
            f"enhancement_{source.digest}.zip",
            "application/zip",
            key="enhancement_zip",
            help="A ZIP file: all images at full size, the costs as CSV, the presets as JSON.",
        )


@st.fragment
def draw_comparison(source: Source, presets: Sequence[Preset]) -> None:
    """Two presets on top of each other, with a divider to drag."""
    fields, slider = st.columns([1, 3], gap="medium")
    with fields:
        left = _pick_side("Left", PRESETS[0], presets, source)
        right = _pick_side("Right", PRESETS[1], presets, source)
        st.caption("Drag the divider, or click it and use the arrow keys.")
        st.caption(LEGEND)
    height, width = source.image.shape
    pictures = [(_enhance(source, preset)[0], _label(source, preset)) for preset in (left, right)]
    with slider:
        draw_slider(*pictures[0], *pictures[1], ratio=width / height, key="enhancement_slider")


def _pick_side(name: str, first: Preset, presets: Sequence[Preset], source: Source) -> Preset:
    key = f"enhancement_{name}"
    titles = {preset.name: _title(preset) for preset in presets}
    if st.session_state.get(key) not in titles:
        st.session_state[key] = first.name
    chosen = st.selectbox(name, list(titles), format_func=titles.__getitem__, key=key, persist_state="session")
    preset = get_preset(chosen, presets)
    st.caption(_describe_cost(_enhance(source, preset)[1]) if preset.operations else "the reference")
    return preset


@st.fragment
def draw_editor(source: Source, presets: Sequence[Preset]) -> None:
    """Switch a preset's operations, move their parameters, see the result beside the raw image, and save it."""
    _follow_save(presets)
    controls, images = st.columns([2, 3], gap="medium")
    with controls:
        base = get_preset(_pick_base(presets), presets)
        with st.container(height=470, gap="xsmall"):
            operations = tuple(_draw_operations(base))
        name = base.name if operations == base.operations else f"{_title(base)[:50]}, edited"
        edited = Preset(name, operations)
    with images:
        _draw_before_and_after(source, edited)
        with explain_faults():
            _draw_actions(source, base, edited)


def _follow_save(presets: Sequence[Preset]) -> None:
    """After a save, start from the saved preset; after a deletion, from the first one that does something."""
    state = st.session_state
    state.setdefault(ROUND, 0)
    if saved := state.pop(SAVED, None):
        state[ROUND] += 1
        state[BASE] = saved
        st.toast("Saved. The preset is now available on every page.")
    if state.get(BASE) not in {preset.name for preset in presets}:
        state[BASE] = PRESETS[1].name


def _pick_base(presets: Sequence[Preset]) -> str:
    field, button = st.columns([3, 1], vertical_alignment="bottom")
    titles = {preset.name: _title(preset) for preset in presets}
    base = field.selectbox(
        "Start from", list(titles), format_func=titles.__getitem__, key=BASE, persist_state="session"
    )
    button.button("Reset", key="preset_reset", on_click=_reset, width="stretch", help="Restore the preset's values")
    return base


def _reset() -> None:
    st.session_state[ROUND] += 1  # fields with new keys


def _list_operations(preset: Preset) -> list[tuple[Operation, bool]]:
    """A preset's operations in their order, switched on, and between them the missing ones, switched off."""
    rank = {operation.kind: index for index, operation in enumerate(ORDER)}
    slots = [(operation, True) for operation in preset.operations]
    present = {operation.kind for operation in preset.operations}
    for missing in (operation for operation in ORDER if operation.kind not in present):
        later = (i for i, (other, _) in enumerate(slots) if rank[other.kind] > rank[missing.kind])
        slots.insert(next(later, len(slots)), (missing, False))
    return slots


def _draw_operations(base: Preset) -> Iterator[Operation]:
    for index, (operation, is_on) in enumerate(_list_operations(base)):
        key = f"preset_{st.session_state[ROUND]}_{base.slug}_{index}"
        if st.toggle(TITLES[operation.kind], is_on, key=key, persist_state="page"):
            yield _draw_parameters(operation, key)


def _draw_parameters(operation: Operation, key: str) -> Operation:
    """Draw the sliders of an operation in a row; the operation with their values."""
    parts = [(name, part, value) for name in operation.SCALES for part, value in _split(name, getattr(operation, name))]
    values: dict[str, Any] = {}
    for place, (name, part, value) in zip(st.columns(len(parts), gap="small"), parts, strict=True):
        with place:
            moved = _draw_parameter(part.replace("_", " "), operation.SCALES[name], value, f"{key}_{part}")
        values[name] = (*values.get(name, ()), moved) if part != name else moved
    return replace(operation, **values)


def _split(name: str, value: float | tuple[int, int]) -> list[tuple[str, float]]:
    """A parameter's numbers by label; the CLAHE grid has two."""
    return list(zip(("columns", "rows"), value, strict=True)) if isinstance(value, tuple) else [(name, value)]


def _draw_parameter(label: str, scale: Scale, value: float, key: str) -> float:
    number = type(scale.step)
    low, high, step = (number(part) for part in scale)
    text = f"{label.split()[0]} {'%d' if number is int else '%.2f'}"
    moved = st.slider(
        label, low, high, number(value), step, text, key=key, label_visibility="collapsed", persist_state="page"
    )
    return number(moved)


def _draw_before_and_after(source: Source, edited: Preset) -> None:
    (raw_png, raw_cost), (png, cost) = _enhance(source, RAW), _enhance(source, edited)
    _draw_images(source, {"Raw": raw_png, "Edited": png}, "preset_viewer", 420)
    raw = f"black {raw_cost.black_fraction:.2%}, white {raw_cost.white_fraction:.2%}"
    st.caption(f"**Edited** · {_describe_cost(cost)}  \n**Raw** · {raw}", help=LEGEND)


def _draw_actions(source: Source, base: Preset, edited: Preset) -> None:
    """Save, download, delete, import. StudioError where a preset cannot be saved, deleted or imported."""
    is_custom = base not in PRESETS
    field, button = st.columns([2, 1], vertical_alignment="bottom")
    name = field.text_input(
        "Preset name",
        base.name if is_custom else "",
        MAX_NAME_CHARACTERS,
        key=f"preset_name_{base.slug}",
        placeholder="Preset name",
    )
    is_saved = button.button("Save as custom preset", type="primary", key="preset_save", width="stretch")
    with st.container(horizontal=True):
        _download("Preset JSON", to_json(edited), f"{edited.slug}.json", "application/json", key="preset_json")
        png = partial(encode_enhanced, source, edited)
        _download("PNG", png, f"{source.digest}_edited.png", "image/png", key="preset_png")
        with st.popover("Import", icon=":material/upload:"):
            _draw_import()
        if is_custom and st.popover("Delete", icon=":material/delete:").button("Delete for good", key="preset_delete"):
            delete_preset(base, studio().preset_dir)
            st.rerun()
    if is_saved:
        _save(replace(edited, name=name))


def _draw_import() -> None:
    file = st.file_uploader("Preset JSON", key="preset_upload", max_upload_size=1)
    if st.button("Import the preset", key="preset_import", disabled=file is None) and file is not None:
        data = file.getvalue()
        if len(data) > MAX_FILE_BYTES:
            raise StudioError(f"A preset file has at most {MAX_FILE_BYTES // 1000} kB.")
        _save(from_json(data))


def _save(preset: Preset) -> None:
    save_preset(preset, studio().preset_dir)
    st.session_state[SAVED] = preset.name
    st.rerun()


main()
