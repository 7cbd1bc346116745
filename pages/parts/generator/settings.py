"""The settings of a generation: size, number, steps, guidance, scheduler, seed, enhancement; and the request they make.

Fields that a checkpoint recommends a value for have a key per checkpoint, so that switching brings its own values.
"""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.parts.services import plain, studio
from postprocess.presets import PRESETS, Preset, get_preset
from xray_generator.checkpoints import Manifest
from xray_generator.studio import resolve_seed, text_request
from xray_generator.types import MAX_GUIDANCE, MAX_IMAGES, MAX_STEPS, GenerationRequest, StudioError

NUM_IMAGES, SEED, NEW_SEED, PRESET = "num_images", "seed", "new_seed", "preset"
MAX_FIELD_SEED = 2**53 - 1  # the largest whole number that a browser keeps exactly


def field(name: str, manifest_name: str) -> str:
    """The key of a field that belongs to a checkpoint."""
    return f"{name} of {manifest_name}"


def draw_settings(manifest: Manifest) -> tuple[Preset, DeltaGenerator]:
    """Draw the fields; return the chosen enhancement preset and the place left free at the end."""
    _set_defaults(manifest)
    first, second, third = st.columns(3), st.columns(3), st.columns([4, 3, 3], vertical_alignment="bottom")
    first[0].selectbox(
        "Resolution", studio().sizes(manifest.name), key=field("size", manifest.name),
        format_func=lambda size: f"{size} x {size}", persist_state="session",
        help="Sizes that the checkpoint does not draw itself are its images enlarged by a second model.",
    )  # fmt: skip
    first[1].number_input("Images", 1, MAX_IMAGES, key=NUM_IMAGES, persist_state="session")
    presets = {preset.name: preset for preset in known_presets(draw_error=True)}
    if st.session_state[PRESET] not in presets:
        st.session_state[PRESET] = PRESETS[0].name
    name = first[2].selectbox(
        "Enhancement", list(presets), key=PRESET, persist_state="session",
        help="Shown beside the raw image; a change acts on the present result at once.",
    )  # fmt: skip
    second[0].number_input("Steps", 1, MAX_STEPS, key=field("steps", manifest.name), persist_state="session")
    second[1].number_input(
        "Guidance", 0.0, MAX_GUIDANCE, step=0.5, key=field("guidance", manifest.name), persist_state="session"
    )
    second[2].selectbox(
        "Scheduler", manifest.schedulers, key=field("scheduler", manifest.name), persist_state="session"
    )
    third[0].number_input(
        "Seed", 0, MAX_FIELD_SEED, key=SEED, persist_state="session", disabled=st.session_state[NEW_SEED],
        help="New seed draws a fresh one each time; switch it off to lock this one. Image i has seed + i.",
    )  # fmt: skip
    third[1].toggle("New seed", key=NEW_SEED, persist_state="session")
    return presets[name], third[2]


def read_request(manifest: Manifest) -> GenerationRequest:
    """The request of the form's present values. StudioError where a value is not allowed."""
    state = st.session_state
    if state[NEW_SEED]:
        state[SEED] = resolve_seed(None)
    return text_request(
        state["prompt"], seed=state[SEED], num_images=state[NUM_IMAGES], size=state[field("size", manifest.name)],
        steps=state[field("steps", manifest.name)], guidance=state[field("guidance", manifest.name)],
        scheduler=state[field("scheduler", manifest.name)],
    )  # fmt: skip


def fill(request: GenerationRequest, preset: str, manifest: Manifest) -> None:
    """Put what the checkpoint allows of an image's request into the form, with its seed locked.

    Raises:
        StudioError: the form cannot hold the seed.
    """
    if request.seed > MAX_FIELD_SEED:
        raise StudioError(f"The seed {request.seed} is too large for a form; use the command line.")
    values = {
        "size": request.height, "steps": request.num_inference_steps, "guidance": request.guidance_scale,
        "scheduler": request.scheduler,
    }  # fmt: skip
    allowed: dict[str, tuple[object, ...]] = {"size": studio().sizes(manifest.name), "scheduler": manifest.schedulers}
    for name, value in values.items():
        if value is not None and value in allowed.get(name, (value,)):
            st.session_state[field(name, manifest.name)] = value
    st.session_state.update({NUM_IMAGES: 1, PRESET: preset})
    lock_seed(request.seed)


def lock_seed(seed: int) -> None:
    """Use this seed from now on."""
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
    recommended = manifest.recommended
    steps, guidance = recommended["num_inference_steps"], recommended["guidance_scale"]
    text_request("checked", seed=0, size=manifest.sizes[0], steps=steps, guidance=guidance)
    if None in (steps, guidance) or recommended["scheduler"] not in manifest.schedulers:
        raise StudioError(f"The manifest of {manifest.name} must recommend steps, guidance and one of its schedulers.")
    defaults = {
        field("size", manifest.name): manifest.sizes[0],
        field("steps", manifest.name): steps,
        field("guidance", manifest.name): float(guidance),
        field("scheduler", manifest.name): recommended["scheduler"],
        NUM_IMAGES: 1, SEED: 0, NEW_SEED: True, PRESET: PRESETS[0].name,
    }  # fmt: skip
    for key, value in defaults.items():
        st.session_state.setdefault(key, value)
