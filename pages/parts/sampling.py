"""Steps, guidance and scheduler: fields that a checkpoint recommends values for, with keys of its own.

So switching the checkpoint brings its own values. A prefix tells the forms of different pages apart.
"""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from xray_generator.checkpoints import Manifest
from xray_generator.requests import text_request
from xray_generator.types import MAX_GUIDANCE, MAX_STEPS, StudioError


def field(name: str, manifest_name: str) -> str:
    """The key of a field that belongs to a checkpoint."""
    return f"{name} of {manifest_name}"


def set_recommended(manifest: Manifest, prefix: str = "") -> None:
    """Begin with what the checkpoint recommends. StudioError where that is not allowed."""
    recommended = manifest.recommended
    steps, guidance = recommended.num_inference_steps, recommended.guidance_scale
    text_request("checked", seed=0, size=manifest.sizes[0], steps=steps, guidance=guidance)
    if None in (steps, guidance):
        raise StudioError(f"The manifest of {manifest.name} must recommend steps and guidance.")
    defaults = {
        "size": manifest.sizes[0],
        "steps": steps,
        "guidance": float(guidance),
        "scheduler": recommended.scheduler,
    }
    for name, value in defaults.items():
        st.session_state.setdefault(field(prefix + name, manifest.name), value)


def draw_steps(place: DeltaGenerator, manifest: Manifest, prefix: str = "", *, scheduler: str = "") -> None:
    """Draw the number of steps; a distilled scheduler has few. `scheduler`: the one used, whatever is chosen."""
    most = manifest.few_steps.get(scheduler or st.session_state[field(f"{prefix}scheduler", manifest.name)], MAX_STEPS)
    key = field(f"{prefix}steps", manifest.name)
    st.session_state[key] = min(st.session_state[key], most)
    place.number_input("Steps", 1, most, key=key, persist_state="session")


def draw_guidance(place: DeltaGenerator, manifest: Manifest, prefix: str = "", *, scheduler: str = "") -> None:
    """Draw the guidance, which a distilled scheduler has within. `scheduler`: the one used, whatever is chosen."""
    is_within = (scheduler or st.session_state[field(f"{prefix}scheduler", manifest.name)]) in manifest.few_steps
    text = "This scheduler was distilled with its guidance within." if is_within else None
    if not is_within and manifest.labels:
        text = "1 draws the class as it was learned; more makes it more marked, and the images more alike."
    place.number_input(
        "Guidance",
        0.0,
        MAX_GUIDANCE,
        step=0.5,
        key=field(f"{prefix}guidance", manifest.name),
        disabled=is_within,
        persist_state="session",
        help=text,
    )


def draw_scheduler(place: DeltaGenerator, manifest: Manifest, prefix: str = "", *, fixed: str = "") -> None:
    """Draw the choice of scheduler, of CT the solver of an equation; `fixed` says why there is none."""
    key = field(f"{prefix}scheduler", manifest.name)
    place.selectbox(
        "Solver" if manifest.hu_window else "Scheduler",
        manifest.schedulers,
        key=key,
        disabled=bool(fixed),
        persist_state="session",
        help=fixed or None,
        on_change=_follow,
        args=(manifest, prefix, st.session_state[key]),
    )


def _follow(manifest: Manifest, prefix: str, before: str) -> None:
    """To a distilled scheduler goes its own number of steps, and from it the recommended one."""
    now = st.session_state[field(f"{prefix}scheduler", manifest.name)]
    if now in manifest.few_steps:
        st.session_state[field(f"{prefix}steps", manifest.name)] = manifest.few_steps[now]
    elif before in manifest.few_steps:
        st.session_state[field(f"{prefix}steps", manifest.name)] = manifest.recommended.num_inference_steps
