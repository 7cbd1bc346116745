"""What a model consists of: components, memory, layers, and where it attends. Counted once for each set of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.parts.charts import counts, draw
from pages.parts.model.engine import Drawer, load
from pages.parts.model.facts import draw_row
from xray_generator.checkpoints import Manifest
from xray_generator.registry import get_family

if TYPE_CHECKING:
    from xray_generator.dashboards.model_report import Anatomy

INDENT = "\u2003"
FIRST_DEPTH = 2
TABLE_PX = 480


def draw_architecture(manifest: Manifest) -> None:
    """Draw the components, then attention and layers."""
    anatomy = _dissect(manifest.ref.sha256, manifest)
    _draw_totals(anatomy)
    table, chart = st.columns([3, 2], gap="medium")
    with table:
        _draw_components(anatomy)
    with chart:
        draw(
            counts({p.name.replace("_", " "): p.parameters for p in anatomy.components}, "parameters"),
            "model_parts",
            180,
        )
    _draw_layers(anatomy)
    _draw_attention(anatomy)


@st.cache_resource(max_entries=4, show_spinner="Loading the model and counting its parts")
def _dissect(sha256: str, _manifest: Manifest) -> Anatomy:  # noqa: ARG001 - the cache's key
    engine = load(_manifest)
    from xray_generator.dashboards.model_report import dissect, probe_request

    return dissect(engine, Drawer(_manifest), probe_request(_manifest, get_family(_manifest.family).condition))


def _draw_totals(anatomy: Anatomy) -> None:
    parts = anatomy.components
    formats = next(iter(parts)).memory_mb if parts else {}
    totals = {
        "Parameters": f"{sum(part.parameters for part in parts):,}",
        "Trainable": f"{sum(part.trainable for part in parts):,}",
        **{f"Weights in {name}": f"{sum(part.memory_mb[name] for part in parts):,.1f} MB" for name in formats},
    }
    draw_row(totals)


def _draw_components(anatomy: Anatomy) -> None:
    parts = anatomy.components
    formats = next(iter(parts)).memory_mb if parts else {}
    st.dataframe(
        {
            "Component": [part.name.replace("_", " ") for part in parts],
            "Class": [part.kind for part in parts],
            "Parameters": [part.parameters for part in parts],
            "Trainable": [part.trainable for part in parts],
            **{f"{name} (MB)": [round(part.memory_mb[name], 1) for part in parts] for name in formats},
        },
        hide_index=True,
        width="stretch",
        key="model_components",
        column_config={name: st.column_config.NumberColumn(format="localized") for name in ("Parameters", "Trainable")},
    )


def _draw_layers(anatomy: Anatomy) -> None:
    st.markdown("**Layers**")
    names = [part.name for part in anatomy.components]
    left, right = st.columns(2, gap="medium", vertical_alignment="bottom")
    chosen = left.pills(
        "Components",
        names,
        selection_mode="multi",
        default=names,
        key=f"model_layers_of {' '.join(names)}",
        format_func=lambda name: name.replace("_", " "),
        persist_state="session",
    )
    depth = right.slider(
        "Levels",
        0,
        max(1, anatomy.depth),
        min(FIRST_DEPTH, max(1, anatomy.depth)),
        key=f"model_depth {anatomy.depth}",
        persist_state="session",
        help="How deep the tree is opened: 0 shows the components alone.",
    )
    rows = [
        (level, layer)
        for part in anatomy.components
        if part.name in chosen
        for level, layer in part.layers.flat()
        if level <= depth
    ]
    st.dataframe(
        {
            "Layer": [INDENT * level + layer.name for level, layer in rows],
            "Class": [layer.kind for _, layer in rows],
            "Parameters": [layer.parameters for _, layer in rows],
        },
        hide_index=True,
        width="stretch",
        height=TABLE_PX,
        key="model_layers",
        column_config={"Parameters": st.column_config.NumberColumn(format="localized")},
    )


def _draw_attention(anatomy: Anatomy) -> None:
    st.markdown("**Attention**")
    sites = anatomy.attention
    if not sites:
        st.info("No layer of diffusers attends in this model.")
        return
    st.caption(f"Positions of the feature map at each place: {', '.join(dict.fromkeys(s.resolution for s in sites))}.")
    st.dataframe(
        {
            "Component": [site.component.replace("_", " ") for site in sites],
            "Layer": [site.path for site in sites],
            "Resolution": [site.resolution for site in sites],
            "Heads": [site.heads for site in sites],
            "Attends to": ["the prompt" if site.is_cross else "the image itself" for site in sites],
        },
        hide_index=True,
        width="stretch",
        key="model_attention",
    )
