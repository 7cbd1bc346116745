"""The sampling fields: quality, steps, guidance, scheduler, eta, adapters, seed and class.

Fields that a checkpoint recommends values for have keys of that checkpoint's own, so that another checkpoint brings its
values along. A prefix distinguishes the forms of different pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.kit.checkpoints import KEY as CHECKPOINT
from pages.kit.services import escape_markdown, studio
from xray_generator.checkpoints import Manifest
from xray_generator.data.naming import class_titles
from xray_generator.requests import STOCHASTIC, check_condition, fast_settings
from xray_generator.types import (
    MAX_ADAPTER_WEIGHT,
    MAX_ADAPTERS,
    MAX_GUIDANCE,
    MAX_IMAGES,
    MAX_SEED,
    MAX_STEPS,
    AdapterWeight,
    ClassLabel,
    GenerationRequest,
    Recommendation,
    StudioError,
    TextPrompt,
    Unconditional,
)

MAX_FIELD_SEED = MAX_SEED - MAX_IMAGES  # the largest that a form takes: image i has seed + i


def field_key(name: str, checkpoint_name: str) -> str:
    """The session's key of a field that belongs to a checkpoint."""
    return f"{name} of {checkpoint_name}"


def set_recommended(manifest: Manifest, prefix: str = "") -> None:
    """Fill fields that have no value yet with what the checkpoint recommends."""
    recommended = manifest.recommended
    defaults = {
        "size": manifest.sizes[0],
        "steps": recommended.num_inference_steps,
        "guidance": float(recommended.guidance_scale),
        "scheduler": recommended.scheduler,
    }
    for name, value in defaults.items():
        st.session_state.setdefault(field_key(prefix + name, manifest.name), value)


def draw_quality(place: DeltaGenerator, manifest: Manifest, prefix: str = "") -> None:
    """Draw the choice of fast or standard, which fills scheduler, steps and guidance; none is chosen for other values.

    To be drawn before these fields.
    """
    qualities = {"Fast": fast_settings(manifest), "Standard": manifest.recommended}
    if qualities["Fast"] == qualities["Standard"]:
        del qualities["Fast"]
    names = ("scheduler", "steps", "guidance")
    scheduler, steps, guidance = (st.session_state[field_key(prefix + name, manifest.name)] for name in names)
    if scheduler in manifest.few_steps:
        guidance = manifest.recommended.guidance_scale  # not used
    now = Recommendation(scheduler, steps, guidance)
    key = field_key(f"{prefix}quality", manifest.name)
    st.session_state[key] = next((name for name, settings in qualities.items() if settings == now), None)
    place.segmented_control(
        "Quality",
        list(qualities),
        key=key,
        on_change=_set_quality,
        args=(manifest, prefix, qualities),
        help=". ".join(f"{name}: {s.num_inference_steps} steps of {s.scheduler}" for name, s in qualities.items())
        + ". Neither is chosen where the advanced settings differ.",
    )


def draw_steps(place: DeltaGenerator, manifest: Manifest, prefix: str = "", *, scheduler: str = "") -> None:
    """Draw the number of steps. `scheduler`: the one that is used, whatever the form says."""
    used = scheduler or st.session_state[field_key(f"{prefix}scheduler", manifest.name)]
    most = manifest.few_steps.get(used, MAX_STEPS)
    key = field_key(f"{prefix}steps", manifest.name)
    st.session_state[key] = min(st.session_state[key], most)
    place.number_input("Steps", 1, most, key=key, persist_state="session")


def draw_guidance(place: DeltaGenerator, manifest: Manifest, prefix: str = "", *, scheduler: str = "") -> None:
    """Draw the guidance scale. `scheduler`: the one that is used, whatever the form says."""
    used = scheduler or st.session_state[field_key(f"{prefix}scheduler", manifest.name)]
    is_built_in = used in manifest.few_steps
    place.number_input(
        "Guidance",
        0.0,
        MAX_GUIDANCE,
        step=0.5,
        key=field_key(f"{prefix}guidance", manifest.name),
        disabled=is_built_in,
        persist_state="session",
        help=guidance_help(manifest, is_built_in=is_built_in),
    )


def guidance_help(manifest: Manifest, *, is_built_in: bool) -> str:
    """What guidance does with a checkpoint; nothing more where a distilled scheduler has it built in."""
    if is_built_in:
        return "Guidance is built into this distilled scheduler."
    effect = "stronger class features" if manifest.labels else "closer to the prompt"
    return f"1: no guidance. Higher: {effect}, less variety."


def draw_scheduler(place: DeltaGenerator, manifest: Manifest, prefix: str = "", *, fixed: str = "") -> None:
    """Draw the choice of scheduler, called solver for CT; `fixed` says why there is nothing to choose."""
    key = field_key(f"{prefix}scheduler", manifest.name)
    place.selectbox(
        "Solver" if manifest.hu_window else "Scheduler",
        manifest.schedulers,
        key=key,
        disabled=bool(fixed),
        persist_state="session",
        help=fixed or None,
        on_change=_adapt_steps,
        args=(manifest, prefix, st.session_state[key]),
    )


def draw_eta(manifest: Manifest) -> None:
    """Draw how much noise each step draws anew, where the scheduler of the Generator's form draws any."""
    if st.session_state[field_key("scheduler", manifest.name)] != STOCHASTIC:
        return
    key = field_key("eta", manifest.name)
    st.session_state.setdefault(key, 0.0)
    st.slider(
        "Eta",
        0.0,
        1.0,
        step=0.05,
        key=key,
        persist_state="session",
        help="Noise that each step draws anew. 0: none. 1: as much as ddpm, which needs more steps.",
    )


def read_eta(manifest: Manifest) -> float:
    """The eta of the Generator's form; 0 where its scheduler takes none."""
    is_taken = st.session_state[field_key("scheduler", manifest.name)] == STOCHASTIC
    return float(st.session_state.get(field_key("eta", manifest.name), 0.0)) if is_taken else 0.0


def draw_adapters(manifest: Manifest, prefix: str = "") -> None:
    """Draw the choice among the adapters of a checkpoint that are here, and a weight for each; nothing without any."""
    key, names = field_key(f"{prefix}adapters", manifest.name), [m.ref.full_name for m in studio().adapters(manifest)]
    if not names:
        return
    st.session_state[key] = [name for name in st.session_state.get(key, ()) if name in names]
    chosen = st.multiselect(
        "Adapters",
        names,
        key=key,
        max_selections=MAX_ADAPTERS,
        persist_state="session",
        help="What small trainings taught this model beside its own, added by weight.",
    )
    for name in chosen:
        weight_key = _weight_key(name, manifest, prefix)
        st.session_state.setdefault(weight_key, 1.0)
        st.slider(
            f"Weight of {escape_markdown(name)}",
            -MAX_ADAPTER_WEIGHT,
            MAX_ADAPTER_WEIGHT,
            step=0.05,
            key=weight_key,
            persist_state="session",
            help="0: the model as it is. 1: as trained. Below 0: the opposite.",
        )


def read_adapters(manifest: Manifest, prefix: str = "") -> tuple[AdapterWeight, ...]:
    """The adapters that are chosen in a form, of those that are here. StudioError where they are too many."""
    chosen = st.session_state.get(field_key(f"{prefix}adapters", manifest.name))
    refs = {m.ref.full_name: m.ref for m in studio().adapters(manifest)} if chosen else {}
    weights = {name: st.session_state.get(_weight_key(name, manifest, prefix), 1.0) for name in chosen or ()}
    return tuple(AdapterWeight(refs[name], weight) for name, weight in weights.items() if name in refs)


def _weight_key(adapter: str, manifest: Manifest, prefix: str) -> str:
    return field_key(f"{prefix}weight of {adapter}", manifest.name)


def draw_seed(
    key: str,
    title: str = "Seed",
    *,
    first: int = 0,
    place: DeltaGenerator | None = None,
    **options: Any,  # noqa: ANN401 - those of st.number_input
) -> int:
    """Draw the field of a seed, which starts at `first`."""
    st.session_state.setdefault(key, first)
    seed: int = (place or st).number_input(title, 0, MAX_FIELD_SEED, key=key, persist_state="session", **options)
    return seed


def pick_class(manifest: Manifest, key: str, title: str = "Class", *, first: int = 0, any_title: str = "") -> str:
    """Draw the choice of a class by its title, a normal one first; return its name.

    With `any_title` there is a last choice of that title for no class, returned as an empty text. `first`: the place of
    the choice to start with; -1 is the last.
    """
    titles = class_titles(manifest.labels)
    choices = [*titles, *([""] if any_title else [])] or [""]
    key = field_key(key, manifest.name)
    st.session_state.setdefault(key, choices[min(first, len(choices) - 1)])
    st.pills(
        title,
        choices,
        key=key,
        required=True,
        persist_state="session",
        format_func=lambda label: titles.get(label, any_title),
        wrap=True,
    )
    label: str = st.session_state[key]
    return label


def lock_seed(seed: int) -> None:
    """Let the Generator use this seed from now on; a seed that its field cannot hold is ignored."""
    if seed <= MAX_FIELD_SEED:
        st.session_state.update({"seed": seed, "new_seed": False})


def fill_generator(request: GenerationRequest, manifest: Manifest, preset: str = "None") -> None:
    """Put a request into the Generator's form, with its seed locked; of the settings, what the checkpoint allows.

    Raises:
        StudioError: the form cannot hold the seed, or the checkpoint cannot draw for the condition.
    """
    check_field_seed(request.seed)
    check_condition(manifest, request.condition)
    match request.condition:
        case TextPrompt(text):
            st.session_state["prompt"] = text
        case ClassLabel(label):
            st.session_state[field_key("label", manifest.name)] = label
        case Unconditional():
            st.session_state[field_key("label", manifest.name)] = ""
    values = {
        "size": request.height,
        "steps": request.num_inference_steps,
        "guidance": request.guidance_scale,
        "scheduler": request.scheduler,
        "eta": request.eta,
    }
    allowed: dict[str, tuple[object, ...]] = {"size": studio().sizes(manifest.name), "scheduler": manifest.schedulers}
    for name, value in values.items():
        if value is not None and value in allowed.get(name, (value,)):
            st.session_state[field_key(name, manifest.name)] = value
    here = {known.ref for known in studio().adapters(manifest)} if request.adapters else set()
    weights = {one.adapter.full_name: one.weight for one in request.adapters if one.adapter in here}
    st.session_state[field_key("adapters", manifest.name)] = list(weights)
    st.session_state.update({_weight_key(name, manifest, ""): weight for name, weight in weights.items()})
    st.session_state.update({CHECKPOINT: manifest.name, "num_images": request.num_images, "preset": preset})
    lock_seed(request.seed)


def check_field_seed(seed: int) -> None:
    """Do nothing for a seed that a form can hold; else raise StudioError."""
    if seed > MAX_FIELD_SEED:
        raise StudioError(f"The seed {seed} is too large for the form. Use the command line for it.")


def _set_quality(manifest: Manifest, prefix: str, qualities: Mapping[str, Recommendation]) -> None:
    settings = qualities.get(st.session_state[field_key(f"{prefix}quality", manifest.name)])
    if settings is not None:
        values = {
            "scheduler": settings.scheduler,
            "steps": settings.num_inference_steps,
            "guidance": float(settings.guidance_scale),
        }
        st.session_state.update({field_key(prefix + name, manifest.name): value for name, value in values.items()})


def _adapt_steps(manifest: Manifest, prefix: str, before: str) -> None:
    """Set the steps of a distilled scheduler when it is chosen, and the recommended ones when it is left."""
    now = st.session_state[field_key(f"{prefix}scheduler", manifest.name)]
    if now in manifest.few_steps:
        st.session_state[field_key(f"{prefix}steps", manifest.name)] = manifest.few_steps[now]
    elif before in manifest.few_steps:
        st.session_state[field_key(f"{prefix}steps", manifest.name)] = manifest.recommended.num_inference_steps
