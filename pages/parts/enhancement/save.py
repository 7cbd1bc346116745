"""What happens to an edited preset: saved under a name, downloaded, deleted; or another one imported."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from pages.parts.services import studio
from postprocess.presets import (
    MAX_FILE_BYTES,
    MAX_NAME_CHARACTERS,
    PRESETS,
    Preset,
    delete_preset,
    from_json,
    save_preset,
    to_json,
)
from xray_generator.export.archive import Source, encode_enhanced
from xray_generator.types import StudioError

SAVED, NAME = "preset_saved", "preset_name"


def draw_actions(source: Source, base: Preset, edited: Preset) -> None:
    """Draw what can be done with the edited preset. StudioError where it cannot be saved, deleted or imported."""
    is_custom = base not in PRESETS
    field, button = st.columns([2, 1], vertical_alignment="bottom")
    name = field.text_input(
        "Name",
        base.name if is_custom else "",
        MAX_NAME_CHARACTERS,
        key=f"{NAME}_{base.slug}",
        placeholder="A name of your own",
    )
    save = button.button("Save as custom preset", type="primary", key="preset_save", width="stretch")
    with st.container(horizontal=True):
        _draw_downloads(source, edited)
        with st.popover("Import", icon=":material/upload:"):
            _draw_import()
        if is_custom and st.popover("Delete", icon=":material/delete:").button("Delete for good", key="preset_delete"):
            delete_preset(base, studio().preset_dir)
            st.rerun()
    if save:
        _save(replace(edited, name=name))


def _draw_downloads(source: Source, edited: Preset) -> None:
    st.download_button(
        "Preset JSON",
        to_json(edited),
        f"{edited.slug}.json",
        "application/json",
        key="preset_json",
        on_click="ignore",
        icon=":material/download:",
    )
    st.download_button(
        "PNG",
        lambda: encode_enhanced(source, edited),
        f"{source.digest}_edited.png",
        "image/png",
        key="preset_png",
        on_click="ignore",
        icon=":material/download:",
    )


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
