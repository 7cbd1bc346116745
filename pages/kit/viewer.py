"""Two components for images: a viewer with zoom, window/level, measurements and cine, and a slider to compare two.

They change what is seen, never the data. Pixels reach the browser as PNG through `data`; no text is taken as HTML.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import streamlit as st

from xray_generator.dicom.hounsfield import Window
from xray_generator.images import encode_png
from xray_generator.types import Image

VIEWER = """
<div class="viewer">
  <div class="bar">
    <button data-do="out" title="Zoom out (-)">−</button><button data-do="in" title="Zoom in (+)">+</button>
    <button data-do="pixels" title="One pixel of the image for one of the screen (1)">1:1</button>
    <button data-do="invert" title="Invert (I)">Invert</button><button data-do="reset" title="Reset (R)">Reset</button>
    <button data-do="full" title="Full screen (F)">Full screen</button>
    <button data-do="window" aria-pressed="false" title="Drag to change window and level (W)">Window</button>
    <button data-do="length" aria-pressed="false" title="Drag to measure a length (L)">Length</button>
    <button data-do="region" aria-pressed="false" title="Drag an ellipse to measure its values (O)">Region</button>
    <button data-do="undo" title="Remove the last measurement (Backspace)">Remove</button>
    <output></output><span class="probe"></span>
    <div class="cine">
      <button data-do="play" title="Play or stop (space)">Play</button>
      <input type="range" min="0" step="1" aria-label="Image of the series"><span class="frame"></span>
    </div>
  </div>
  <div class="stage">
    <div class="panes" tabindex="0" role="group" aria-label="Image viewer"></div>
    <aside>
      <small class="mouse">Drag: the chosen tool. Ctrl + wheel: zoom. Shift + drag: move.</small>
      <small class="touch">Two fingers: zoom and move. One finger: scroll, or the chosen tool.</small>
      <ol aria-live="polite"></ol>
    </aside>
  </div>
</div>
"""
SLIDER = """
<div class="frame">
  <img class="left"><img class="right"><span class="name left"></span><span class="name right"></span>
  <input type="range" min="0" max="100" step="0.5" value="50"><div class="divider"></div>
</div>
"""
FILES = {"viewer": ("viewer_geometry.js", "viewer.js"), "slider": ("slider.js",)}  # scripts of a component, one module
LEVELS = {"low": 0, "high": 255, "unit": ""}


def draw_viewer(
    images: Mapping[str, Image | bytes],
    key: str,
    *,
    space_px: int,
    real: Collection[str] = (),
    unknown: Collection[str] = (),
    window: Window | None = None,
    unitless: Collection[str] = (),
    spacing_mm: tuple[float, float] | None = None,
    reduction: float = 1,
    is_new: bool = False,
) -> None:
    """Draw (H, W) images in [0, 1], or their PNG, side by side, as high as the browser's window less `space_px`.

    Each is marked "Synthetic", those whose label is in `real` "Real", those in `unknown` "Given". `window`: the
    Hounsfield units from black to white, in which values are displayed, but for the images in `unitless`, which were
    enhanced; None: 256 gray levels. `spacing_mm`: between rows and between columns of the original; None: lengths are
    in pixels. `reduction`: pixels of the original for each that is shown, along a side. `is_new`: it has just come, so
    a narrow screen, on which it may lie below the form, moves to it.
    """
    marks = {label: "Real" if label in real else "Given" if label in unknown else "Synthetic" for label in images}
    series = {label: (image,) for label, image in images.items()}
    place = {"names": [""], "first": 0, "space": space_px, "is_new": is_new}
    more = {**place, "spacing": spacing_mm, "reduction": reduction}
    _draw(series, marks, key, window, unitless, more)


def draw_cine(
    series: Mapping[str, Sequence[Image]],
    names: Sequence[str],
    key: str,
    *,
    space_px: int,
    first: int = 0,
    window: Window | None = None,
    unitless: Collection[str] = (),
) -> None:
    """Draw synthetic images one at a time, to be played or moved through; as for `draw_viewer`.

    Each of `series` has an image (H, W) for each of `names`; those of one place are shown side by side. `first`: the
    place to start at.
    """
    more = {"names": list(names), "first": first, "space": space_px, "spacing": None, "reduction": 1, "is_new": False}
    _draw(series, dict.fromkeys(series, "Synthetic"), key, window, unitless, more)


def _draw(
    series: Mapping[str, Sequence[Image | bytes]],
    marks: Mapping[str, str],
    key: str,
    window: Window | None,
    unitless: Collection[str],
    more: Mapping[str, object],
) -> None:
    scale = LEVELS if window is None else {"low": window.low, "high": window.high, "unit": " HU"}
    panes = [
        {
            "label": label,
            "mark": marks[label],
            "frames": [_data_url(image if isinstance(image, bytes) else encode_png(image)) for image in images],
            **(LEVELS if label in unitless else scale),
        }
        for label, images in series.items()
    ]
    _component("viewer", VIEWER)(data={"panes": panes, **more, **scale}, key=key)


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
    js = "\n".join((folder / file).read_text(encoding="utf-8") for file in FILES[name])
    css = (folder / f"{name}.css").read_text(encoding="utf-8")
    return st.components.v2.component(f"studio_{name}", html=html, css=css, js=js)
