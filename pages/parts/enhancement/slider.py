"""Two images on top of each other with a divider to drag, or to move with the arrow keys."""

from __future__ import annotations

import base64
from collections.abc import Callable

import streamlit as st

HTML = """
<div class="frame">
  <img class="left"><img class="right"><span class="name left"></span><span class="name right"></span>
  <input type="range" min="0" max="100" step="0.5" value="50"><div class="divider"></div>
</div>"""

CSS = """
.frame { position: relative; margin: 0 auto; aspect-ratio: var(--ratio); width: min(100%, calc(51vh * var(--ratio)));
         background: #000; border-radius: var(--st-base-radius); overflow: hidden; }
img, input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; }
img.right { clip-path: inset(0 0 0 var(--at)); }
.name { position: absolute; top: .5rem; padding: .1rem .5rem; border-radius: .25rem; max-width: 45%;
        background: rgb(0 0 0 / .65); color: #fff; font: .8rem var(--st-font); overflow-wrap: anywhere; }
.name.left { left: .5rem; }
.name.right { right: .5rem; }
input { appearance: none; opacity: 0; cursor: ew-resize; touch-action: pan-y; }
input::-webkit-slider-thumb { appearance: none; width: 2px; height: 100%; }
input::-moz-range-thumb { width: 2px; height: 100%; border: 0; }
.divider { position: absolute; top: 0; bottom: 0; left: var(--at); width: 2px; margin-left: -1px; background: #fff;
           pointer-events: none; box-shadow: 0 0 4px #000; }
.divider::after { content: "\\2194"; position: absolute; top: 50%; left: 50%; width: 2rem; height: 2rem;
                  transform: translate(-50%, -50%); border-radius: 50%; background: #fff; color: #111;
                  font: 1.1rem/2rem sans-serif; text-align: center; }
input:focus-visible + .divider { outline: 3px solid var(--st-primary-color); }
"""

JS = """
export default function({ data, parentElement }) {
  const frame = parentElement.querySelector(".frame");
  for (const side of ["left", "right"]) {
    const image = frame.querySelector("img." + side);
    image.src = data[side].src;
    image.alt = data[side].name;
    frame.querySelector(".name." + side).textContent = data[side].name;
  }
  const range = frame.querySelector("input");
  range.setAttribute("aria-label", `Divider between ${data.left.name} and ${data.right.name}, percent from the left`);
  const move = () => frame.style.setProperty("--at", range.value + "%");
  range.oninput = move;
  frame.style.setProperty("--ratio", data.ratio);
  move();
}
"""


def compare_slider(left: bytes, left_name: str, right: bytes, right_name: str, *, ratio: float, key: str) -> None:
    """Draw two PNGs of equal shape, `ratio` = width / height, the first one shown left of the divider."""
    data = {"left": _side(left, left_name), "right": _side(right, right_name), "ratio": ratio}
    _component()(data=data, key=key)


def _side(png: bytes, name: str) -> dict[str, str]:
    return {"src": f"data:image/png;base64,{base64.b64encode(png).decode()}", "name": name}


@st.cache_resource(show_spinner=False)
def _component() -> Callable[..., object]:
    return st.components.v2.component("compare_slider", html=HTML, css=CSS, js=JS)
