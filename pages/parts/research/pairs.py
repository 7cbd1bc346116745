"""Real and generated images of one condition beside each other: in pairs, in grids, and as a blind test."""

from __future__ import annotations

import streamlit as st

from pages.parts.research.blind import draw_blind
from pages.parts.research.frames import (
    draw_thumbnails,
    facts,
    generated_badge,
    label,
    pick_window,
    real_badge,
)
from pages.parts.research.scene import Scene
from pages.parts.viewer import draw_viewer
from xray_generator.dashboards.side_by_side import Sides, partners

MODE, PLACE, PAGE = "research_mode", "research_pair", "research_grid_page"
PAIR, GRID, BLIND = "Pair", "Grid", "Blind test"
PER_PAGE = 18
VIEWER_SPACE_PX = 420  # what stands above and below the viewer, so that all of it fits the window


def draw_pairs(scene: Scene) -> None:
    """Draw the chosen way of looking."""
    sides = scene.sides
    if not len(sides.generated):
        st.info("There is no generated image of this condition. Draw some with “Draw more” above, or choose another.")
    if not len(sides.real):
        st.info("The dataset holds no real film of this condition and split. Choose another.")
    if not len(sides.real) and not len(sides.generated):
        return
    modes = (PAIR, GRID, BLIND) if sides.smaller else (GRID,)
    if st.session_state.get(MODE) not in modes:
        st.session_state[MODE] = modes[0]
    mode = st.segmented_control(
        "View", modes, key=MODE, required=True, persist_state="session", label_visibility="collapsed"
    )
    if mode == PAIR:
        _draw_pair(sides)
    elif mode == GRID:
        _draw_grids(sides)
    else:
        draw_blind(sides)


def _draw_pair(sides: Sides) -> None:
    fields, viewer = st.columns([1, 3], gap="medium")
    with fields:
        place = _pick_generated(sides)
        fitting = partners(sides.generated.rows, sides.real.rows)[place]
        real = st.selectbox(
            "Real film",
            range(len(sides.real)),
            index=fitting,
            format_func=lambda i: label(sides.real, i),
            key=f"research_real_{sides.digest}_{place}",
            help="Proposed: the film that fits the prompt best.",
        )
    film, asked = sides.real.rows[real], sides.generated.rows[place]
    shown = {
        f"Real: {facts(film)}": sides.real.images[real],
        f"Generated: {facts(asked)}": sides.generated.images[place],
    }
    with viewer:
        draw_viewer(shown, key="research_viewer", space_px=VIEWER_SPACE_PX, real=list(shown)[:1])
        left, right = st.columns(2)
        left.text(f"{film.prompt or facts(film)}\n{film.path.name}, {film.split} split, {film.source}, {film.license}")
        right.text(f"{asked.prompt}\n{asked.path.name}")


def _pick_generated(sides: Sides) -> int:
    count = len(sides.generated)
    st.session_state[PLACE] = min(st.session_state.get(PLACE, 0), count - 1)
    place = st.selectbox(
        "Generated image",
        range(count),
        key=PLACE,
        format_func=lambda i: label(sides.generated, i),
        persist_state="session",
    )
    with st.container(horizontal=True):
        st.button("Previous", key="research_previous", on_click=_step, args=(-1, count), disabled=count < 2)
        st.button("Next", key="research_next", on_click=_step, args=(1, count), disabled=count < 2)
    return place


def _step(by: int, count: int) -> None:
    st.session_state[PLACE] = (st.session_state.get(PLACE, 0) + by) % count


def _draw_grids(sides: Sides) -> None:
    window_field, page_field, _ = st.columns([2, 1, 3])
    with window_field:
        window = pick_window("research_grid_window")
    pages = -(-max(len(sides.real), len(sides.generated)) // PER_PAGE)
    st.session_state[PAGE] = min(st.session_state.get(PAGE, 1), pages)
    page = int(page_field.number_input(f"Page, of {pages}", 1, pages, key=PAGE))
    left, right = st.columns(2, gap="medium")
    for column, badge, images, kind in (
        (left, real_badge, sides.real, "Real"),
        (right, generated_badge, sides.generated, "Generated"),
    ):
        places = range(len(images))[(page - 1) * PER_PAGE : page * PER_PAGE]
        with column:
            badge(f"· n = {len(images):,}" + (f" · {places[0] + 1} to {places[-1] + 1} shown" if places else ""))
            if places:
                draw_thumbnails(images, places, window, kind)
            else:
                st.caption("No more.")
