"""Thumbnails that are chosen by a click or by the keyboard; labels reach the browser as text, never as HTML."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

HTML = '<div class="grid" role="group" aria-label="Images of this page"></div>'

CSS = """
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(84px, 1fr)); gap: .4rem; }
button { all: unset; cursor: pointer; min-width: 0; border-radius: 4px; border: 2px solid transparent; padding: 2px;
  box-sizing: border-box; }
button:hover { border-color: var(--st-border-color); }
button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 1px; }
button[aria-pressed="true"] { border-color: var(--st-primary-color); }
.frame { aspect-ratio: 1; background: #000; border-radius: 3px; overflow: hidden; display: flex; align-items: center;
  justify-content: center; color: #bbb; font: .7rem var(--st-font); text-align: center; }
img { width: 100%; height: 100%; object-fit: contain; display: block; }
.label { font: .75rem var(--st-font); color: var(--st-text-color); opacity: .75; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; margin-top: 2px; }
"""

JS = """
export default function ({ data, parentElement, setTriggerValue }) {
  const grid = parentElement.querySelector(".grid");
  grid.replaceChildren(...data.map(({ src, label, title, chosen }, index) => {
    const button = document.createElement("button"), frame = document.createElement("div");
    const text = document.createElement("div");
    button.type = "button"; button.title = title; button.setAttribute("aria-label", title);
    button.setAttribute("aria-pressed", chosen);
    frame.className = "frame"; text.className = "label"; text.textContent = label;
    if (src) { const image = document.createElement("img"); image.src = src; image.alt = ""; frame.append(image); }
    else frame.textContent = "cannot be read";
    button.append(frame, text);
    button.onclick = () => {
      for (const other of grid.children) other.setAttribute("aria-pressed", other === button);
      setTriggerValue("chosen", index);
    };
    return button;
  }));
}
"""


@dataclass(frozen=True, slots=True)
class Tile:
    """A thumbnail."""

    png: bytes | None  # None: the image cannot be read
    label: str  # one short line below
    title: str  # on hover, and for those who listen
    chosen: bool = False


def draw_tiles(tiles: Sequence[Tile], key: str, on_choose: Callable[[int], None]) -> None:
    """Draw the thumbnails; `on_choose` is called with the place of the one that was clicked."""
    data = [
        {
            "src": "" if tile.png is None else f"data:image/png;base64,{base64.b64encode(tile.png).decode()}",
            "label": tile.label,
            "title": tile.title,
            "chosen": tile.chosen,
        }
        for tile in tiles
    ]

    def chosen() -> None:
        place = st.session_state[key].get("chosen")
        if isinstance(place, int) and 0 <= place < len(tiles):
            on_choose(place)

    _component()(data=data, key=key, on_chosen_change=chosen)


@st.cache_resource(show_spinner=False)
def _component() -> Callable[..., object]:
    return st.components.v2.component("thumbnail_grid", html=HTML, css=CSS, js=JS)
