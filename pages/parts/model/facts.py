"""What a checkpoint's manifest says of it, in one row: no weights are read."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from xray_generator.checkpoints import Manifest
from xray_generator.evaluation.summary import NOT_MEASURED
from xray_generator.registry import FAMILIES


def draw_facts(manifest: Manifest) -> None:
    """Draw the facts that a reader asks for first, and all settings of the training folded away."""
    facts = {
        "Model": FAMILIES.get(manifest.family, manifest.family),
        "Draws": ", ".join(f"{size} x {size} pixels" for size in manifest.sizes),
        "Training images": _count(manifest.data.get("num_train")),
        "Training steps": ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in sorted(manifest.steps.items()))
        or "none",
        "Recommended": _recommended(manifest),
        "SHA-256 of the weights": manifest.ref.sha256[:12],
    }
    draw_row(facts)
    with st.expander("All settings of the training"):
        st.json(manifest.config)


def draw_row(facts: Mapping[str, str]) -> None:
    """Draw names with their values below, side by side where there is room."""
    grid = st.grid(len(facts), min_column_width=140)
    for name, value in facts.items():
        with grid.cell(), st.container(gap=None):
            st.caption(name)
            st.text(value)


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else NOT_MEASURED


def _recommended(manifest: Manifest) -> str:
    values = manifest.recommended
    return f"{values['scheduler']}, {values['num_inference_steps']} steps, guidance {values['guidance_scale']}"
