"""How the research dashboard shows an image: unmistakably real or generated, in one window for both."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st

from pages.parts.charts import MARGIN
from pages.parts.services import plain
from xray_generator.dashboards.side_by_side import with_window
from xray_generator.data.rows import Row, finding_name
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.types import Image

WINDOWS = {  # gray levels that are spread over black to white
    "Full range": (0.0, 1.0),
    "Lungs (dark half)": (0.0, 0.55),
    "Bones and heart (bright half)": (0.45, 1.0),
    "Steep (middle half)": (0.25, 0.75),
}
THUMBNAIL_PX = 112


def real_badge(text: str = "") -> None:
    """Mark what follows as real."""
    st.badge(plain(f"Real {text}".strip()), color="blue", icon=":material/person:")


def generated_badge(text: str = "") -> None:
    """Mark what follows as generated."""
    st.badge(plain(f"Generated {text}".strip()), color="orange", icon=":material/auto_awesome:", help="Synthetic image")


def pick_window(key: str) -> tuple[float, float]:
    """Draw the choice of a window; the same for every image shown with it."""
    return WINDOWS[st.selectbox("Window", list(WINDOWS), key=key, persist_state="session")]


def draw_image(image: Image, window: tuple[float, float], alt: str, caption: str = "") -> None:
    """Draw one image as wide as its column."""
    st.image(with_window(image, *window), plain(caption) or None, width="stretch", output_format="PNG", alt=alt)


def draw_thumbnails(images: ImageSet, places: Sequence[int], window: tuple[float, float], kind: str) -> None:
    """Draw some images small, numbered from 1."""
    st.image(
        [with_window(images.images[i], *window) for i in places],
        [f"{kind} {i + 1}" for i in places],
        width=THUMBNAIL_PX,
        output_format="PNG",
        alt=[f"{kind} image {i + 1}" for i in places],
    )


def facts(row: Row) -> str:
    """What is known of a film, or asked of a generated image, in one line."""
    age = f"{row.age} years" if row.age is not None else row.age_group.replace("_", " ")
    sex = {"M": "male", "F": "female"}.get(row.sex, "")
    return " · ".join(part for part in (", ".join(map(finding_name, row.findings)), row.view, sex, age) if part)


def label(images: ImageSet, place: int) -> str:
    """An image in a menu."""
    return f"{place + 1} · {facts(images.rows[place]) or images.rows[place].prompt[:60]}"


def heat_image(values: Image, reach: tuple[float, float], scale: str, title: str) -> go.Figure:
    """An image in colors with its scale bar; `reach` is the same for all images to be compared."""
    figure = go.Figure(
        go.Heatmap(
            z=values,
            zmin=reach[0],
            zmax=reach[1],
            colorscale=scale,
            colorbar={"thickness": 12},
            hovertemplate="column %{x}, row %{y}: %{z:.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, autorange="reversed", scaleanchor="x", constrain="domain")
    figure.update_layout(title={"text": title, "font": {"size": 14}}, margin=MARGIN)
    return figure
