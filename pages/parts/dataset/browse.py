"""Browse a dataset: a page of thumbnails, and the chosen image beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from pages.parts.dataset.grid import Tile, draw_tiles
from pages.parts.dataset.image import describe, draw_row, thumbnail
from pages.parts.dataset.source import Explored
from xray_generator.data.rows import Row, finding_name

PER_PAGE = 24


def draw_browse(rows: Sequence[Row], explored: Explored) -> None:
    """Draw a page of the rows, one or more, and the chosen one large."""
    chosen_key = f"dataset_{explored.key}_chosen"
    paths = [row.path for row in rows]
    chosen = st.session_state.get(chosen_key)
    index = paths.index(chosen) if chosen in paths else 0
    first = index // PER_PAGE * PER_PAGE

    def choose(place: int) -> None:
        st.session_state[chosen_key] = paths[place]

    grid, detail = st.columns([3, 2], gap="medium")
    with grid:
        tiles = [_tile(row, chosen=first + i == index) for i, row in enumerate(rows[first : first + PER_PAGE])]
        draw_tiles(tiles, f"dataset_{explored.key}_grid", lambda place: choose(first + place))
        _draw_pages(first // PER_PAGE + 1, -(-len(rows) // PER_PAGE), lambda page: choose((page - 1) * PER_PAGE))
    with detail:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Previous",
                key="dataset_previous",
                icon=":material/chevron_left:",
                disabled=index == 0,
                on_click=choose,
                args=(index - 1,),
            )
            st.button(
                "Next",
                key="dataset_next",
                icon=":material/chevron_right:",
                disabled=index + 1 == len(rows),
                on_click=choose,
                args=(index + 1,),
            )
            st.caption(f"{index + 1:,} of {len(rows):,}")
        draw_row(rows[index], explored, "dataset_browse")


def _draw_pages(page: int, num_pages: int, turn: Callable[[int], None]) -> None:
    """Draw the pages, at the one that holds the chosen image; `turn` is called with another one."""
    if num_pages > 1:
        key = f"dataset_page_{page}_of_{num_pages}"  # a field of its own for each state: the chosen image leads
        st.pagination(num_pages, default=page, key=key, on_change=lambda: turn(st.session_state[key]))


def _tile(row: Row, *, chosen: bool) -> Tile:
    label = ", ".join(map(finding_name, row.findings)) or row.path.name
    return Tile(thumbnail(row), label, f"{describe(row)} · {row.path.name}", chosen)
