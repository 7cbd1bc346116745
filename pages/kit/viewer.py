"""Two components for images: a viewer with zoom, pan and window/level, and a slider that compares two images.

They change what is seen, never the data. Pixels reach the browser as PNG through `data`; no text is taken as HTML.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from pathlib import Path

import streamlit as st

from xray_generator.dicom.hounsfield import Window
from xray_generator.images import encode_png
from xray_generator.types import Image

VIEWER = """
<div class="bar">
  <button data-do="out" title="Zoom out (-)">−</button><button data-do="in" title="Zoom in (+)">+</button>
  <button data-do="invert" title="Invert (I)">Invert</button><button data-do="reset" title="Reset (R)">Reset</button>
  <output></output>
  <small>Drag: window / level. Ctrl + wheel: zoom. Shift + drag: pan.</small>
</div>
<div class="panes" tabindex="0" role="group" aria-label="Image viewer"></div>
"""
SLIDER = """
<div class="frame">
  <img class="left"><img class="right"><span class="name left"></span><span class="name right"></span>
  <input type="range" min="0" max="100" step="0.5" value="50"><div class="divider"></div>
</div>
"""


def draw_viewer(
    images: Mapping[str, Image],
    key: str,
    *,
    space_px: int,
    real: Collection[str] = (),
    unknown: Collection[str] = (),
    window: Window | None = None,
) -> None:
    """Draw (H, W) images in [0, 1] side by side, as high as the browser's window less `space_px`.

    Each is marked "Synthetic", those whose label is in `real` "Real", those in `unknown` "Given". `window`: the
    Hounsfield units from black to white, in which window and level are displayed; None: 256 gray levels.
    """
    sources = [
        {
            "label": label,
            "src": _data_url(encode_png(image)),
            "mark": "Real" if label in real else "Given" if label in unknown else "Synthetic",
        }
        for label, image in images.items()
    ]
    scale = {"low": 0, "high": 255, "unit": ""}
    if window is not None:
        scale = {"low": window.low, "high": window.high, "unit": " HU"}
    _component("viewer", VIEWER)(data={"images": sources, "space": space_px, **scale}, key=key)


def draw_slider(left: bytes, left_name: str, right: bytes, right_name: str, *, ratio: float, key: str) -> None:
    """Draw two PNGs of equal shape on top of each other, with a divider to drag or to move with the arrow keys.

    `left` is shown left of the divider. `ratio`: width / height.
    """
    sides = {"left": (left, left_name), "right": (right, right_name)}
    data = {side: {"src": _data_url(png), "name": name} for side, (png, name) in sides.items()}
    _component("slider", SLIDER)(data={**data, "ratio": ratio}, key=key)


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


@st.cache_resource(show_spinner=False)
def _component(name: str, html: str) -> st.components.v2.types.ComponentRenderer:
    folder = Path(__file__).parent
    css, js = ((folder / f"{name}.{suffix}").read_text(encoding="utf-8") for suffix in ("css", "js"))
    return st.components.v2.component(f"studio_{name}", html=html, css=css, js=js)
