"""Fill the form from the recipe inside a PNG that this studio made."""

from __future__ import annotations

import streamlit as st

from pages.parts import checkpoint_picker, prompt_builder, settings
from pages.parts.services import plain, studio
from postprocess.presets import PRESETS
from xray_generator.export.recipe import read_recipe
from xray_generator.types import StudioError, TextPrompt

KEY, MESSAGE = "recipe_file", "recipe_message"
MAX_MB = 16


def draw_restore() -> None:
    """Draw the upload field and what came of it."""
    st.file_uploader("A PNG made here: its recipe fills the form", "png", key=KEY, on_change=_restore,
                     max_upload_size=MAX_MB)  # fmt: skip
    if message := st.session_state.get(MESSAGE):
        st.info(plain(message))


def _restore() -> None:
    file = st.session_state[KEY]
    try:
        st.session_state[MESSAGE] = "" if file is None else _fill_form(file.getvalue())
    except StudioError as error:
        st.session_state[MESSAGE] = str(error)


def _fill_form(data: bytes) -> str:
    recipe = read_recipe(data)
    if not isinstance(recipe.request.condition, TextPrompt):
        raise StudioError("This image was not made from a prompt.")
    present = {manifest.name: manifest.ref for manifest in studio().checkpoints()}
    made_with = recipe.checkpoint
    name = made_with.name if made_with.name in present else studio().manifest().name
    settings.fill(recipe.request, str((recipe.preset or {}).get("name", PRESETS[0].name)), name)
    st.session_state[checkpoint_picker.KEY] = name
    st.session_state[prompt_builder.KEY] = recipe.request.condition.text
    if present.get(made_with.name) == made_with:
        return "The form is filled. Generate makes this image again."
    return (
        f"The form is filled, but the weights that made this image ({made_with.name}, SHA-256 "
        f"{made_with.sha256[:12]}) are not here; {name} will draw another image."
    )
