"""Research dashboard: real and generated images of one condition, compared by eye and by numbers.

The controls are in `research_scene`, what is computed from both sets in `research_measures`, and the search for
memorized training images in `research_memorization`. This file draws the images side by side, and the export.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from pages.kit.jobs import draw_end, draw_error, draw_progress, find_job
from pages.kit.services import count_text, escape_markdown, explain_faults
from pages.kit.viewer import draw_viewer
from pages.measure.research_measures import (
    compare,
    draw_distributions,
    draw_means,
    draw_neighbors,
    draw_radar,
    draw_spectra,
)
from pages.measure.research_memorization import draw_memorization
from pages.measure.research_scene import (
    GRAY_RANGES,
    JOB,
    Scene,
    draw_badge,
    draw_image,
    option_title,
    pick_scene,
)
from xray_generator.dashboards import distributions
from xray_generator.dashboards.prompts import condition_title, describe_row
from xray_generator.dashboards.side_by_side import (
    SHEET_IMAGES,
    blind_pairs,
    encode_comparison,
    partners,
)
from xray_generator.requests import resolve_seed


@explain_faults()
def main() -> None:
    """Draw the page."""
    st.caption("Real beside generated images of one condition: what matches, what differs, and what is too similar.")
    scene = pick_scene()
    draw_error(JOB)
    job = find_job(JOB)
    if job is not None:
        (draw_end if job.is_over else draw_progress)(job)
    tabs = {
        "Side by side": _draw_side_by_side,
        "Distributions": draw_distributions,
        "Spectra": draw_spectra,
        "Mean images": draw_means,
        "Nearest neighbors": draw_neighbors,
        "Radar": draw_radar,
        "Memorization": draw_memorization,
        "Export": _draw_export,
    }
    for draw_tab, tab in zip(tabs.values(), st.tabs(list(tabs), key="research_tab", on_change="rerun"), strict=True):
        with tab:
            if tab.open:
                _draw_tab(draw_tab, scene)


@st.fragment
@explain_faults(st.info)  # mostly that one side has too few images
def _draw_tab(draw_tab: Callable[[Scene], None], scene: Scene) -> None:
    draw_tab(scene)


# Side by side: in pairs, in grids, and as a blind test

MODE, PAIR, GRID, BLIND = "research_mode", "Pair", "Grid", "Blind test"
PLACE, PAGE = "research_pair", "research_grid_page"
PER_PAGE = 18
VIEWER_SPACE_PX = 420  # of the controls above and below the viewer, so that all of it fits the window


def _draw_side_by_side(scene: Scene) -> None:
    sides = scene.sides
    if not len(sides.generated):
        st.info(
            "There is no generated image of this condition. Use “Generate more” above, or choose another condition."
        )
    if not len(sides.real):
        st.info("The dataset has no real image of this condition and split. Choose others.")
    if not len(sides.real) and not len(sides.generated):
        return
    modes = (PAIR, GRID, BLIND) if sides.smaller else (GRID,)
    if st.session_state.get(MODE) not in modes:
        st.session_state[MODE] = modes[0]
    mode = st.segmented_control(
        "View", modes, key=MODE, required=True, persist_state="session", label_visibility="collapsed"
    )
    {PAIR: _draw_pair, GRID: _draw_grids, BLIND: _draw_blind_test}[str(mode)](scene)


def _draw_pair(scene: Scene) -> None:
    sides, titles = scene.sides, scene.titles
    fields, viewer = st.columns([1, 3], gap="medium")
    with fields:
        place = _pick_generated(scene)
        partner = st.selectbox(
            "Real image",
            range(len(sides.real)),
            index=partners(sides.generated.rows, sides.real.rows)[place],
            format_func=partial(option_title, sides.real, titles),
            key=f"research_real_{sides.digest}_{place}",
            help="Initially the one that fits best what was asked for.",
        )
    real, generated = sides.real.rows[partner], sides.generated.rows[place]
    images = {
        f"Real: {describe_row(real, titles) or 'any'}": sides.real.images[partner],
        f"Generated: {describe_row(generated, titles) or 'any'}": sides.generated.images[place],
    }
    with viewer:
        draw_viewer(images, key="research_viewer", space_px=VIEWER_SPACE_PX, real=list(images)[:1])
        left, right = st.columns(2)
        origin = filter(None, (real.path.name, f"{real.split} split", real.source, real.license))
        left.text(f"{real.prompt or describe_row(real, titles)}\n{', '.join(origin)}")
        right.text(f"{_describe_wish(scene, place)}\n{generated.path.name}")


def _describe_wish(scene: Scene, place: int) -> str:
    """What a generated image was asked to show, in words."""
    row = scene.sides.generated.rows[place]
    return row.prompt or describe_row(row, scene.titles) or "Nothing in particular"


def _pick_generated(scene: Scene) -> int:
    generated = scene.sides.generated
    count = len(generated)
    st.session_state[PLACE] = min(st.session_state.get(PLACE, 0), count - 1)
    place = st.selectbox(
        "Generated image",
        range(count),
        key=PLACE,
        format_func=partial(option_title, generated, scene.titles),
        persist_state="session",
    )

    def step(by: int) -> None:
        st.session_state[PLACE] = (st.session_state[PLACE] + by) % count

    with st.container(horizontal=True):
        st.button("Previous", key="research_previous", on_click=step, args=(-1,), disabled=count < 2)
        st.button("Next", key="research_next", on_click=step, args=(1,), disabled=count < 2)
    return place


def _draw_grids(scene: Scene) -> None:
    sides = scene.sides
    window_field, page_field, _ = st.columns([2, 1, 3])
    with window_field:
        window = _pick_window("research_grid_window")
    pages = -(-max(len(sides.real), len(sides.generated)) // PER_PAGE)
    st.session_state[PAGE] = min(st.session_state.get(PAGE, 1), pages)
    page = int(page_field.number_input(f"Page, of {pages}", 1, pages, key=PAGE))
    columns = st.columns(2, gap="medium")
    for column, images, kind in zip(columns, (sides.real, sides.generated), ("Real", "Generated"), strict=True):
        places = range(len(images))[(page - 1) * PER_PAGE : page * PER_PAGE]
        shown = f" · {places[0] + 1} to {places[-1] + 1} shown" if places else ""
        with column:
            draw_badge(f"· n = {len(images):,}{shown}", is_real=kind == "Real")
            if not places:
                st.caption("No more images.")
                continue
            grid = st.grid(6, min_column_width=96)
            for i in places:
                with grid.cell():
                    draw_image(images.images[i], f"{kind} image {i + 1}", f"{kind} {i + 1}", window)


def _pick_window(key: str) -> tuple[float, float]:
    """Draw the choice of a window; it applies to all images."""
    return GRAY_RANGES[st.selectbox("Window", list(GRAY_RANGES), key=key, persist_state="session")]


TURN, ANSWER, SCORE = "blind_turn", "blind_answer", "blind_score"  # score: (correct answers, all answers)


def _draw_blind_test(scene: Scene) -> None:
    """Draw a pair without marks, or with them once it is answered."""
    sides = scene.sides
    st.session_state.setdefault("blind_seed", resolve_seed(None))
    pairs = blind_pairs(sides, st.session_state["blind_seed"])
    if not pairs:
        st.info("No generated image has a real one here that meets all it was asked for. Choose others above.")
        return
    turn = st.session_state.get(TURN, 0) % len(pairs)
    place, partner, real_left = pairs[turn]
    pair = f"{sides.digest} {turn}"
    answered, is_correct = st.session_state.get(ANSWER, ("", None))
    is_open = answered != pair  # an answer is for one pair only
    text, *columns = st.columns([2, 3, 3], gap="medium")
    with text:
        window = _pick_window("blind_window")
        correct, total = st.session_state.get(SCORE, (0, 0))
        st.metric(
            "Correct answers",
            f"{correct} of {total}" if total else "none yet",
            border=True,
            help="In this session, over all conditions. Guessing gives half; fewer than about 20 answers say little.",
        )
        if is_open:
            st.caption("One image is real, the other was generated for the words below, which fit both. Which is real?")
        else:
            st.success("Correct.") if is_correct else st.warning("Wrong: the other one is real.")
            st.button(
                "Next pair",
                key="blind_next",
                type="primary",
                on_click=st.session_state.__setitem__,
                args=(TURN, turn + 1),
            )
        st.text(f"Pair {turn + 1} of {len(pairs)}\nAsked for: {_describe_wish(scene, place)}")
        if left_out := len(sides.generated) - len(pairs):
            st.caption(f"Left out, without a real image of their condition here: {count_text(left_out, 'image')}.")
    for column, side in zip(columns, ("Left", "Right"), strict=True):
        with column:
            is_real = real_left == (side == "Left")
            if is_open:
                st.badge(side, color="gray")
            else:
                draw_badge("" if is_real else "(synthetic)", is_real=is_real)
            image = sides.real.images[partner] if is_real else sides.generated.images[place]
            draw_image(image, f"{side} image", window=window)
            st.button(
                f"{side} is real",
                key=f"blind_{side}",
                width="stretch",
                disabled=not is_open,
                on_click=_answer,
                args=(pair, is_real),
            )


def _answer(pair: str, is_correct: bool) -> None:
    correct, total = st.session_state.get(SCORE, (0, 0))
    st.session_state[SCORE] = (correct + is_correct, total + 1)
    st.session_state[ANSWER] = (pair, is_correct)


# Export


def _draw_export(scene: Scene) -> None:
    sides = scene.sides
    if not sides.smaller:
        st.info("Nothing to compare: one side has no image of this condition.")
        return
    name = f"{scene.manifest.name}_{sides.condition or 'any'}"
    st.text(
        f"{len(sides.real):,} real ({sides.split}) and {len(sides.generated):,} generated images of "
        f"{scene.manifest.name}; condition: {condition_title(sides.condition, classes=scene.titles)}"
    )
    with st.container(horizontal=True):
        st.download_button(
            "All measures as CSV",
            lambda: distributions.to_csv(sides, compare(sides)).encode(),
            f"{name}_measures.csv",
            "text/csv",
            key="research_csv",
            on_click="ignore",
        )
        st.download_button(
            "Comparison sheet as PNG",
            partial(encode_comparison, sides, scene.manifest.name, scene.titles),
            f"{name}_sheet.png",
            "image/png",
            key="research_sheet",
            on_click="ignore",
        )
    st.caption(
        escape_markdown(
            "The table has a line for each image: side, file, prompt, condition and every measure. The sheet shows "
            f"up to {SHEET_IMAGES} images of each set, marked as real or synthetic. Mind the license of each source "
            "of real images."
        )
    )


main()
