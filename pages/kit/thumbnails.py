"""Thumbnails to choose one from, and where they can be marked to select several."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

THUMBNAIL_PIXELS = 128 * 128


@dataclass(frozen=True, slots=True)
class Tile:
    """An image of the grid."""

    png: bytes  # empty: it cannot be read
    label: str
    title: str
    is_marked: bool | None = None  # None: it cannot be marked


def draw_thumbnails(
    tiles: Sequence[Tile],
    chosen: int,
    key: str,
    choose: Callable[[int], None],
    mark: Callable[[int], None] | None = None,
) -> None:
    """Draw thumbnails chosen by click or keyboard; labels reach the browser as text, never as HTML.

    `choose` and `mark` are called with the place of the tile that was clicked, or whose box was; no tile is shown as
    chosen where `chosen` is none of their places.
    """

    def on(event: str, act: Callable[[int], None] | None) -> Callable[[], None]:
        def call() -> None:
            place = st.session_state[key].get(event)
            if act is not None and isinstance(place, int) and 0 <= place < len(tiles):
                act(place)

        return call

    data = [
        {
            "src": f"data:image/png;base64,{base64.b64encode(tile.png).decode()}" if tile.png else "",
            "label": tile.label,
            "title": tile.title,
            "chosen": place == chosen,
            "marked": tile.is_marked,
        }
        for place, tile in enumerate(tiles)
    ]
    _component()(data=data, key=key, on_chosen_change=on("chosen", choose), on_marked_change=on("marked", mark))


@st.cache_resource(show_spinner=False)
def _component() -> Callable[..., object]:
    script, style = (
        Path(__file__).with_name(f"thumbnails.{kind}").read_text(encoding="utf-8") for kind in ("js", "css")
    )
    html = '<div class="grid" role="group" aria-label="Images on this page"></div>'
    return st.components.v2.component("thumbnail_grid", html=html, css=style, js=script)
