"""How to edit: strength, method, steps, guidance, scheduler, seed; and the request and the edit that they make."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from pages.parts.edit.words import TARGET, now_key
from pages.parts.generator.settings import MAX_FIELD_SEED
from pages.parts.sampling import draw_guidance, draw_scheduler, draw_steps, field, set_recommended
from xray_generator.checkpoints import Manifest
from xray_generator.requests import text_request
from xray_generator.types import Edit, GenerationRequest, GenerationResult, StudioError, TextPrompt

ERROR, SEED, STRENGTH, METHOD = "edit_error", "edit_seed", "edit_strength", "edit_method"
PREFIX, GIVEN_SCHEDULER, UPLOADED = "edit ", "ddim", "An uploaded film is always edited along DDIM."
METHODS = {"inversion": "Keep the patient", "noise": "Redraw by the seed"}
METHOD_HELP = (
    "Keep the patient: the noise that leads to this very film is sought (DDIM inversion), then led to the new words. "
    "Redraw: noise is added and taken away again (SDEdit), for each seed in another way."
)
STRENGTH_HELP = "Low keeps the patient and the words act little; high lets the words act and the patient may change."


def draw_settings(manifest: Manifest, *, is_upload: bool) -> None:
    """Draw the fields of a checkpoint."""
    _set_defaults(manifest)
    if is_upload:
        st.segmented_control(
            "Method",
            list(METHODS),
            format_func=METHODS.__getitem__,
            required=True,
            key=METHOD,
            persist_state="session",
            help=METHOD_HELP,
        )
    strength = st.slider(
        "Strength", 0.0, 1.0, step=0.05, format="percent", key=STRENGTH, persist_state="session", help=STRENGTH_HELP
    )
    st.caption(_plainly(strength, is_upload=is_upload))
    is_seedless = is_upload and st.session_state[METHOD] == "inversion"
    names = ("steps", "guidance", "scheduler", "seed", *(("size",) if len(manifest.sizes) > 1 else ()))
    places = dict(zip(names, st.columns(len(names)), strict=True))
    used = GIVEN_SCHEDULER if is_upload else ""
    draw_steps(places["steps"], manifest, PREFIX, scheduler=used)
    draw_guidance(places["guidance"], manifest, PREFIX, scheduler=used)
    draw_scheduler(places["scheduler"], manifest, PREFIX, fixed=UPLOADED if is_upload else "")
    places["seed"].number_input(
        "Seed",
        0,
        MAX_FIELD_SEED,
        key=SEED,
        persist_state="session",
        disabled=is_seedless,
        help="This method draws no noise." if is_seedless else None,
    )
    if "size" in places:
        places["size"].selectbox("Size", manifest.sizes, key=field("edit size", manifest.name), persist_state="session")


def read_request(manifest: Manifest, *, is_upload: bool) -> GenerationRequest:
    """The request of the form's present values. StudioError where a value is not allowed."""
    state = st.session_state
    return text_request(
        state[TARGET if is_upload else now_key(is_upload=False)],
        seed=state[SEED],
        size=state[field("edit size", manifest.name)],
        steps=state[field("edit steps", manifest.name)],
        guidance=state[field("edit guidance", manifest.name)],
        scheduler=None if is_upload else state[field("edit scheduler", manifest.name)],
    )


def read_edit(*, is_upload: bool) -> Edit:
    """The edit of the form's present values. StudioError where a value is not allowed, or nothing is to change."""
    state = st.session_state
    now = state[now_key(is_upload=is_upload)]
    edit = Edit(state[TARGET], state[STRENGTH], now, state[METHOD] if is_upload else "inversion")
    if not is_upload and edit.prompt == edit.source_prompt:
        raise StudioError("Both prompts are the same. Change what the image shall show instead.")
    return edit


def one_of(result: GenerationResult, index: int) -> GenerationRequest:
    """The request of one image of a result."""
    return replace(result.request, num_images=1, seed=result.seeds[index])


def fill(request: GenerationRequest, manifest: Manifest) -> None:
    """Put the request of a generated image into the form.

    Raises:
        StudioError: the form cannot hold it.
    """
    if request.seed > MAX_FIELD_SEED:
        raise StudioError(f"The seed {request.seed} is too large for a form; use the command line.")
    if request.height not in manifest.sizes or request.scheduler not in manifest.schedulers:
        raise StudioError(f"{manifest.name} does not draw such an image any more.")
    assert isinstance(request.condition, TextPrompt)
    st.session_state.update(
        {
            now_key(is_upload=False): request.condition.text,
            SEED: request.seed,
            field("edit size", manifest.name): request.height,
            field("edit scheduler", manifest.name): request.scheduler,
            field("edit steps", manifest.name): request.num_inference_steps,
            field("edit guidance", manifest.name): request.guidance_scale,
        }
    )


def _plainly(strength: float, *, is_upload: bool) -> str:
    if is_upload:
        return f"The film goes {strength:.0%} of the way back to noise, and from there to the new words."
    return f"Before and after share the first {1 - strength:.0%} of the way; the other {strength:.0%} parts them."


def _set_defaults(manifest: Manifest) -> None:
    set_recommended(manifest, PREFIX)
    for key, value in {SEED: 0, STRENGTH: 0.7, METHOD: "inversion"}.items():
        st.session_state.setdefault(key, value)
