"""Which weights draw the images, and what is known of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import streamlit as st
from xray_generator.dashboards.latent_space import has_latents
from xray_generator.dashboards.likelihoods import classifiers

from pages.parts.services import studio
from xray_generator.checkpoints import Manifest
from xray_generator.evaluation.summary import NOT_MEASURED
from xray_generator.registry import FAMILIES
from xray_generator.types import StudioError

KEY = "checkpoint"


def pick_checkpoint(*, prompted: bool = False, judging: bool = False, latent: bool = False) -> Manifest:
    """Draw the picker and the card; return the chosen manifest.

    Args:
        prompted: only those that read a prompt.
        judging: only those that tell how probable an image is.
        latent: only those whose latents can be explored.

    Raises:
        StudioError: there is no such checkpoint.
    """
    studio().manifest()  # says what to do where there is none
    found = studio().checkpoints(prompted=prompted)
    found = tuple(m for m in found if (not judging or classifiers(m)) and (not latent or has_latents(m)))
    manifests = {manifest.name: manifest for manifest in found}
    if not manifests:
        lacking = "gives likelihoods" if judging else "has latents to explore" if latent else "reads a prompt"
        raise StudioError(f"No checkpoint here {lacking}. Train one with `python -m xray_generator.train`.")
    if st.session_state.get(KEY) not in manifests:
        st.session_state.pop(KEY, None)
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    name = left.selectbox("Checkpoint", list(manifests), key=KEY, persist_state="session")
    right.button("Card", key="card", on_click=_card, args=(manifests[name],), width="stretch")
    return manifests[name]


@st.dialog("Checkpoint", width="large")
def _card(manifest: Manifest) -> None:
    facts = {
        "Name": manifest.name,
        **({"Classes": ", ".join(manifest.labels)} if manifest.labels else {}),
        "Model": FAMILIES.get(manifest.family, manifest.family),
        "SHA-256 of the weights": manifest.ref.sha256,
        "Code commit": manifest.commit,
        "License of the data": manifest.license,
        **{f"Training steps, {stage}": f"{count:,}" for stage, count in manifest.steps.items()},
        **{f"Data, {name}": value for name, value in _flat(manifest.data)},
    }
    st.dataframe({"Fact": list(facts), "Value": list(facts.values())}, hide_index=True, width="stretch")
    metrics = dict(_flat(manifest.metrics)) or {"All metrics": NOT_MEASURED}
    st.dataframe({"Metric": list(metrics), "Measured": list(metrics.values())}, hide_index=True, width="stretch")


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        label = f"{prefix}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{label}, ")
        elif isinstance(value, list):
            yield label, f"{len(value):,} values"
        else:
            yield label, NOT_MEASURED if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
