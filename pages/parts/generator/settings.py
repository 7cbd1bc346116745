"""The settings of a generation, from its size to its enhancement, and the request that they make."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.parts.generator.condition import asked
from pages.parts.sampling import draw_guidance, draw_scheduler, draw_steps, field, set_recommended
from pages.parts.services import plain, studio
from postprocess.presets import PRESETS, Preset, get_preset
from xray_generator.checkpoints import Manifest
from xray_generator.requests import make_request, resolve_seed
from xray_generator.types import MAX_IMAGES, MAX_SEED, GenerationRequest, StudioError

NUM_IMAGES, SEED, NEW_SEED, PRESET = "num_images", "seed", "new_seed", "preset"
MAX_FIELD_SEED = MAX_SEED - MAX_IMAGES


def draw_settings(manifest: Manifest) -> tuple[Preset, DeltaGenerator]:
    """Draw the fields; return the chosen enhancement preset and the place left free at the end."""
    _set_defaults(manifest)
    first, second, third = st.columns(3), st.columns(3), st.columns([4, 3, 3], vertical_alignment="bottom")
    first[0].selectbox(
        "Resolution",
        studio().sizes(manifest.name),
        key=field("size", manifest.name),
        format_func=lambda size: f"{size} x {size}",
        persist_state="session",
        help="Sizes that the checkpoint does not draw itself are its images enlarged by a second model.",
    )
    first[1].number_input("Images", 1, MAX_IMAGES, key=NUM_IMAGES, persist_state="session")
    presets = {preset.name: preset for preset in known_presets(draw_error=True)}
    if st.session_state[PRESET] not in presets:
        st.session_state[PRESET] = PRESETS[0].name
    name = first[2].selectbox(
        "Enhancement",
        list(presets),
        key=PRESET,
        persist_state="session",
        help="Shown beside the raw image; a change acts on the present result at once.",
    )
    draw_steps(second[0], manifest)
    draw_guidance(second[1], manifest)
    draw_scheduler(second[2], manifest)
    third[0].number_input(
        "Seed",
        0,
        MAX_FIELD_SEED,
        key=SEED,
        persist_state="session",
        disabled=st.session_state[NEW_SEED],
        help="New seed draws a fresh one each time; switch it off to lock this one. Image i has seed + i.",
    )
    third[1].toggle("New seed", key=NEW_SEED, persist_state="session")
    return presets[name], third[2]


def read_request(manifest: Manifest) -> GenerationRequest:
    """The request of the form's present values. StudioError where a value is not allowed."""
    state = st.session_state
    if state[NEW_SEED]:
        state[SEED] = resolve_seed(None)
    return make_request(
        asked(manifest),
        seed=state[SEED],
        num_images=state[NUM_IMAGES],
        size=state[field("size", manifest.name)],
        steps=state[field("steps", manifest.name)],
        guidance=state[field("guidance", manifest.name)],
        scheduler=state[field("scheduler", manifest.name)],
    )


def fill(request: GenerationRequest, preset: str, manifest: Manifest) -> None:
    """Put what the checkpoint allows of an image's request into the form, with its seed locked.

    Raises:
        StudioError: the form cannot hold the seed.
    """
    if request.seed > MAX_FIELD_SEED:
        raise StudioError(f"The seed {request.seed} is too large for a form; use the command line.")
    values = {
        "size": request.height,
        "steps": request.num_inference_steps,
        "guidance": request.guidance_scale,
        "scheduler": request.scheduler,
    }
    allowed: dict[str, tuple[object, ...]] = {"size": studio().sizes(manifest.name), "scheduler": manifest.schedulers}
    for name, value in values.items():
        if value is not None and value in allowed.get(name, (value,)):
            st.session_state[field(name, manifest.name)] = value
    st.session_state.update({NUM_IMAGES: 1, PRESET: preset})
    lock_seed(request.seed)


def lock_seed(seed: int) -> None:
    """Use this seed from now on; one that the field cannot hold is left."""
    if seed > MAX_FIELD_SEED:
        return
    st.session_state.update({SEED: seed, NEW_SEED: False})


def chosen_preset() -> Preset:
    """The preset of the form. StudioError where it was deleted meanwhile."""
    return get_preset(st.session_state[PRESET], known_presets())


def known_presets(*, draw_error: bool = False) -> tuple[Preset, ...]:
    """All presets; the built-in ones where a saved one is damaged."""
    try:
        return studio().presets()
    except StudioError as error:
        if draw_error:
            st.error(plain(error))
        return PRESETS


def _set_defaults(manifest: Manifest) -> None:
    set_recommended(manifest)
    for key, value in {NUM_IMAGES: 1, SEED: 0, NEW_SEED: True, PRESET: PRESETS[0].name}.items():
        st.session_state.setdefault(key, value)
