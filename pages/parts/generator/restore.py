"""Fill the form from the recipe inside a PNG that this studio made, and say what of it does not hold here."""

from __future__ import annotations

import streamlit as st

from pages.parts import checkpoint_picker
from pages.parts.generator import condition, settings
from pages.parts.services import plain, studio
from postprocess.presets import PRESETS
from xray_generator.export.recipe import read_recipe
from xray_generator.gallery import differences
from xray_generator.requests import describe_condition
from xray_generator.types import StudioError

KEY, SENTENCES, ERROR = "recipe_file", "recipe_sentences", "recipe_error"
MAX_MB = 16


def draw_restore() -> None:
    """Draw the upload field."""
    st.file_uploader(
        "A PNG made here: its recipe fills the form", "png", key=KEY, on_change=_restore, max_upload_size=MAX_MB
    )


def draw_restored() -> None:
    """Say what came of the last upload, until it is forgotten."""
    if sentences := st.session_state.get(SENTENCES):
        first, *others = map(plain, sentences)
        st.info("\n".join([first, "", *(f"- {other}" for other in others)]))
    if error := st.session_state.get(ERROR):
        st.error(plain(error))


def forget() -> None:
    """Say no more of the last upload."""
    st.session_state[SENTENCES], st.session_state[ERROR] = (), ""


def _restore() -> None:
    file = st.session_state[KEY]
    forget()
    try:
        if file is not None:
            st.session_state[SENTENCES] = _fill_form(file.getvalue())
    except StudioError as error:
        st.session_state[ERROR] = str(error)


def _fill_form(data: bytes) -> tuple[str, ...]:
    """Fill the form; in sentences, whether it makes the image again."""
    recipe = read_recipe(data)
    if recipe.origin is not None:
        page = "Edit" if recipe.origin.kind == "edit" else "Live"
        raise StudioError(f"This image was made on the page {page}: no prompt and seed alone make it again.")
    named = {manifest.name: manifest for manifest in studio().checkpoints()}
    manifest = named.get(recipe.checkpoint.name) or studio().manifest()
    if not condition.is_read(recipe.request.condition, manifest):
        asked = describe_condition(recipe.request.condition)
        raise StudioError(f"This image was asked for by {asked[:80]!r}, which {manifest.name} cannot draw.")
    settings.fill(recipe.request, str((recipe.preset or {}).get("name", PRESETS[0].name)), manifest)
    st.session_state[checkpoint_picker.KEY] = manifest.name
    condition.fill(recipe.request.condition, manifest)
    studio().engine(manifest.name)  # under its lock, so that two threads never import torch at once
    if found := differences(recipe, manifest, settings.known_presets()):
        return ("The form is filled, but here not all is as it was:", *found)
    return ("The form is filled. Generate makes this image again.",)
