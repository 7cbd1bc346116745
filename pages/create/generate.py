"""Generator: a prompt or a class becomes images, with progress, cancel, and the recipe inside every download."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.create.generate_prompt import draw_prompt
from pages.create.generate_result import draw_result
from pages.kit import checkpoints
from pages.kit.album import REUSED
from pages.kit.checkpoints import pick_checkpoint
from pages.kit.jobs import draw_error, is_running, keep_error
from pages.kit.results import job_key, keep_own_form, start_drawing
from pages.kit.sampling import (
    draw_adapters,
    draw_eta,
    draw_guidance,
    draw_quality,
    draw_scheduler,
    draw_seed,
    draw_steps,
    field_key,
    fill_generator,
    pick_class,
    read_adapters,
    read_eta,
    set_recommended,
)
from pages.kit.services import escape_markdown, explain_faults, known_presets, preload, studio
from postprocess.presets import PRESETS, Preset, get_preset
from xray_generator.checkpoints import Manifest
from xray_generator.data.choices import expand_request
from xray_generator.export.recipe import read_recipe
from xray_generator.gallery import differences
from xray_generator.history import Form
from xray_generator.jobs import MAX_QUEUED_EACH
from xray_generator.registry import modality, reads_prompts
from xray_generator.requests import check_condition, describe_condition, make_request, read_condition, resolve_seed
from xray_generator.types import MAX_IMAGES, Condition, StudioError, TextPrompt


@explain_faults()
def main() -> None:
    """Draw the form on the left and its result on the right; on a phone the result follows the button."""
    if (path := st.session_state.pop(REUSED, None)) is not None:
        st.session_state["restored"] = ""
        restore_from(path.read_bytes)
    form, result = st.columns([2, 3], gap="medium")
    with form:
        manifest = pick_checkpoint()
        preset = draw_form(manifest)
    with result:
        draw_result(manifest, preset)
    preload(manifest.name)


def draw_form(manifest: Manifest) -> Preset:
    """Draw what is asked for, the settings and last the button; return the enhancement preset."""
    set_recommended(manifest)
    for key, value in {"num_images": 1, "seed": 0, "new_seed": True, "preset": PRESETS[0].name}.items():
        st.session_state.setdefault(key, value)
    if reads_prompts(manifest):
        draw_prompt(manifest)
    else:
        pick_class(manifest, "label", any_title="Any" if manifest.unconditional else "")
    if st.session_state.pop(checkpoints.BEGIN, False) and not is_running(job_key(manifest.name)):
        st.session_state["num_images"] = 1  # "Draw one" was pressed, whatever the form was left with
        start(manifest)  # before the fields that it sets are drawn
    row = st.container(horizontal=True, vertical_alignment="bottom")
    with row:
        st.number_input("Images", 1, MAX_IMAGES, key="num_images", persist_state="session", width=120)
        draw_quality(row, manifest)
        draw_restore()
    with st.container():  # always there, so that a message does not rebuild the fields below
        if restored := st.session_state.get("restored"):
            st.info(restored)
        draw_error("restored")
    with st.expander("Advanced"):
        preset = draw_advanced(manifest)
    st.button(
        "Generate",
        key="generate",
        type="primary",
        width="stretch",
        shortcut="Ctrl+Enter",
        on_click=start,
        args=(manifest,),
        help="While one request is drawn, more can wait in line.",
    )
    draw_error(job_key(manifest.name))
    with suppress(StudioError):  # a form that is not yet complete
        keep_own_form(read_fields(manifest))
    return preset


def start(manifest: Manifest) -> None:
    """Ask for the images of the form; an error is kept for `draw_error`."""
    with keep_error(job_key(manifest.name)):
        form = read_fields(manifest)
        request = replace(form.request, seed=resolve_seed(None)) if form.has_new_seed else form.request
        for one in expand_request(request, MAX_QUEUED_EACH):
            start_drawing(one, manifest, get_preset(form.preset, known_presets(is_silent=True)))
        st.session_state.update({"seed": request.seed, "restored": ""})


def read_fields(manifest: Manifest) -> Form:
    """What the form asks for. StudioError where a value is not allowed."""
    state, name = st.session_state, manifest.name
    request = make_request(
        read_form_condition(manifest),
        seed=state["seed"],
        num_images=state["num_images"],
        size=state[field_key("size", name)],
        steps=state[field_key("steps", name)],
        guidance=state[field_key("guidance", name)],
        scheduler=state[field_key("scheduler", name)],
        adapters=read_adapters(manifest),
        eta=read_eta(manifest),
    )
    return Form(name, request, state["preset"], has_new_seed=state["new_seed"])


def read_form_condition(manifest: Manifest) -> Condition:
    """The prompt or the class of the form. StudioError where it is not allowed."""
    if reads_prompts(manifest):
        return TextPrompt(st.session_state["prompt"])
    return read_condition(manifest, label=st.session_state[field_key("label", manifest.name)] or None)


def draw_advanced(manifest: Manifest) -> Preset:
    """Draw the settings that have good values already; return the enhancement preset."""
    first, second, third = st.columns(2), st.columns(3), st.columns(2, vertical_alignment="bottom")
    first[0].selectbox(
        "Resolution",
        studio().sizes(manifest.name),
        key=field_key("size", manifest.name),
        format_func=lambda size: f"{size} x {size}",
        persist_state="session",
        help="Sizes that the model does not draw itself are enlarged by a second model.",
    )
    preset = pick_preset(first[1])
    draw_scheduler(second[0], manifest)
    draw_steps(second[1], manifest)
    draw_guidance(second[2], manifest)
    draw_eta(manifest)
    draw_adapters(manifest)
    draw_seed(
        "seed",
        place=third[0],
        disabled=st.session_state["new_seed"],
        help="Switch off New seed to choose a seed. Image i uses seed + i, counted from 0.",
    )
    third[1].toggle("New seed", key="new_seed", persist_state="session", help="Use a random seed every time.")
    return preset


def pick_preset(place: DeltaGenerator) -> Preset:
    """Draw the choice of an enhancement."""
    presets = {preset.name: preset for preset in known_presets()}
    if st.session_state["preset"] not in presets:
        st.session_state["preset"] = PRESETS[0].name
    name = place.selectbox(
        "Enhancement",
        list(presets),
        key="preset",
        persist_state="session",
        help="Shown beside the raw image. A change applies to the present result at once.",
    )
    return presets[name]


def draw_restore() -> None:
    """Draw the upload of a PNG that fills the form."""
    with st.popover("From a PNG", key="recipe_open", on_change="rerun", help="Fill the form from a PNG's recipe."):
        st.file_uploader("A PNG made in this studio", "png", key="recipe_file", on_change=restore, max_upload_size=16)


def restore() -> None:
    """Fill the form from the uploaded PNG, and close the upload."""
    file = st.session_state["recipe_file"]
    st.session_state.update({"restored": "", "recipe_open": False})
    if file is not None:
        restore_from(file.getvalue)


def restore_from(read: Callable[[], bytes]) -> None:
    """Fill the form from a PNG, and keep for the page what came of it."""
    with keep_error("restored"):
        try:
            st.session_state["restored"] = fill_form(read())
        except OSError as error:
            raise StudioError(f"The image cannot be read: {error.strerror}.") from error


def fill_form(data: bytes) -> str:
    """Fill the form from a PNG's recipe; return as Markdown whether Generate makes the same image again."""
    recipe = read_recipe(data)
    request, condition = recipe.request, recipe.request.condition
    if recipe.origin is not None:
        page = "Edit page" if recipe.origin.kind == "edit" else "Live or the Latent space page"
        raise StudioError(f"This image was made on the {page}; the Generator cannot draw it again.")
    manifests = {manifest.name: manifest for manifest in studio().checkpoints()}
    manifest = manifests.get(recipe.checkpoint.name) or studio().manifest()
    upscaler = studio().upscaler_manifest(modality(manifest))
    try:
        check_condition(manifest, condition)
    except StudioError as error:
        raise StudioError(f"This image was made for {describe_condition(condition)[:80]!r}. {error}") from None
    fill_generator(request, manifest, str((recipe.preset or {}).get("name", PRESETS[0].name)))
    studio().engine(manifest.name)  # under its lock, so that two threads never import torch at once
    changes = "\n".join(
        f"- {escape_markdown(text)}"
        for text in differences(
            recipe,
            manifest,
            known_presets(is_silent=True),
            None if upscaler is None else upscaler.ref,
            [known.ref for known in studio().adapters(manifest)],
        )
    )
    if changes:
        return f"The form is filled, but the image may come out differently:\n\n{changes}"
    return "The form is filled. Generate makes this image again."


main()
