"""The two ends of an interpolation, A and B: a prompt and a seed each, and how far between them the picture lies."""

from __future__ import annotations

import streamlit as st

from pages.parts.generator.settings import MAX_FIELD_SEED
from pages.parts.live import controls
from pages.parts.live.controls import Sampling
from pages.parts.live.drawing import Plan, between
from pages.parts.services import studio
from xray_generator.abilities import Morphing
from xray_generator.checkpoints import Manifest
from xray_generator.types import CheckpointRef, GenerationRequest, TextPrompt

NAMES = ("A", "B")
WEIGHT, COUNT = "live_weight", "live_count"
COUNTS = (5, 6, 7, 8, 9)


def use_as(name: str, request: GenerationRequest) -> None:
    """Take a picture as end A or B."""
    assert isinstance(request.condition, TextPrompt)
    st.session_state.update({_key(name, "prompt"): request.condition.text, _key(name, "seed"): request.seed})
    st.toast(f"Taken as {name}. Choose “Between two” to see what lies between A and B.")


def draw_ends() -> None:
    """Draw the prompt and the seed of A and of B; they begin with the present prompt and two seeds."""
    for index, name in enumerate(NAMES):
        st.session_state.setdefault(_key(name, "prompt"), st.session_state[controls.PROMPT])
        st.session_state.setdefault(_key(name, "seed"), st.session_state[controls.SEED] + index)
        prompt, seed = st.columns([3, 1])
        prompt.text_input(name, key=_key(name, "prompt"), live=True, persist_state="session")
        seed.number_input(f"Seed of {name}", 0, MAX_FIELD_SEED, key=_key(name, "seed"), persist_state="session")


def draw_weight() -> float:
    """Draw the slider between A and B."""
    st.session_state.setdefault(WEIGHT, 0.5)
    weight: float = st.slider("From A (0) to B (1)", 0.0, 1.0, step=0.05, key=WEIGHT, persist_state="session")
    return weight


def read_ends(sampling: Sampling) -> tuple[GenerationRequest, GenerationRequest]:
    """The requests of A and B. StudioError where a prompt is not allowed."""
    state = st.session_state
    first, second = (sampling.request(state[_key(name, "prompt")], state[_key(name, "seed")]) for name in NAMES)
    return first, second


def way(checkpoint: CheckpointRef, first: GenerationRequest, second: GenerationRequest, count: int) -> Plan:
    """`count` pictures at equal steps from A to B."""
    return tuple(between(checkpoint, first, second, index / (count - 1)) for index in range(count))


def can_morph(manifest: Manifest) -> bool:
    """Whether a checkpoint draws what lies between two requests; it is loaded to be asked."""
    return _can_morph(manifest.ref)


@st.cache_data(max_entries=32, show_spinner="Preparing the model")
def _can_morph(checkpoint: CheckpointRef) -> bool:
    return isinstance(studio().engine(checkpoint.name), Morphing)


def _key(name: str, part: str) -> str:
    return f"live_{part}_{name}"
