"""The checkpoint picker, with a card of what is known about the chosen one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import streamlit as st

from pages.kit.services import studio
from xray_generator.checkpoints import Manifest
from xray_generator.config import dump
from xray_generator.evaluation.summary import NOT_MEASURED
from xray_generator.registry import get_family, reads_prompts
from xray_generator.types import Ability, StudioError

KEY = "checkpoint"  # of the session: all pages share the choice
CAN_DO: dict[Ability, str] = {
    "morph": "can interpolate between images",
    "edit": "can edit images",
    "attend": "shows where the words of a prompt act",
    "trace": "shows its trajectory from noise to image",
    "likelihood": "gives likelihoods",
    "encode": "has an autoencoder",
    "traverse": "has latents to explore",
    "noise_schedule": "has a noise schedule",
    "ablate": "has ablations",
    "predict": "shows what its denoiser hears",
}


def pick_checkpoint(ability: Ability | None = None, *, prompted: bool = False) -> Manifest:
    """Draw the picker and the card's button; return the chosen manifest.

    Args:
        ability: only checkpoints that have it.
        prompted: only checkpoints that draw from a prompt.

    Raises:
        StudioError: there is no such checkpoint.
    """
    studio().manifest()  # says what to do where there is no checkpoint at all
    manifests = {m.name: m for m in studio().checkpoints(ability) if not prompted or reads_prompts(m)}
    if not manifests:
        wanted = "reads a prompt" if prompted else CAN_DO[ability] if ability else "draws images"
        raise StudioError(f"No checkpoint here {wanted}. Train one with `python -m xray_generator.train`.")
    if st.session_state.get(KEY) not in manifests:
        st.session_state.pop(KEY, None)
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    name = left.selectbox("Checkpoint", list(manifests), key=KEY, persist_state="session")
    right.button("Card", key="card", on_click=_draw_card, args=(manifests[name],), width="stretch")
    return manifests[name]


@st.dialog("Checkpoint", width="large")
def _draw_card(manifest: Manifest) -> None:
    facts = {
        "Name": manifest.name,
        **({"Classes": ", ".join(manifest.labels)} if manifest.labels else {}),
        "Model": get_family(manifest.family).title,
        "SHA-256 of the weights": manifest.ref.sha256,
        "Code commit": manifest.commit,
        "License of the data": manifest.license,
        **{f"Training steps, {stage}": f"{count:,}" for stage, count in manifest.steps.items()},
        **{f"Data, {name}": value for name, value in _flatten(dump(manifest.data))},
    }
    st.dataframe({"Fact": list(facts), "Value": list(facts.values())}, hide_index=True, width="stretch")
    metrics = dict(_flatten(dump(manifest.metrics))) or {"All metrics": NOT_MEASURED}
    st.dataframe({"Metric": list(metrics), "Measured": list(metrics.values())}, hide_index=True, width="stretch")


def _flatten(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each leaf of a nested mapping: its path in words, and its value as text."""
    for name, value in tree.items():
        label = f"{prefix}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{label}, ")
        elif isinstance(value, list):
            yield label, f"{len(value):,} values"
        elif value is not None:
            yield label, f"{value:.4g}" if isinstance(value, float) else str(value)
