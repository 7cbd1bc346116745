"""A reading of a blind study: one image at a time, and at the end both kinds side by side. Nothing here tells them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from pages.kit.jobs import draw_error, keep_error
from pages.kit.services import count_text, escape_markdown
from pages.kit.viewer import draw_viewer
from xray_generator.experiments.reader_study import Study, encode_blind, read_blind
from xray_generator.experiments.readings import (
    MAX_RATING,
    Answer,
    Checklist,
    Reading,
    add_answer,
    finish,
    next_place,
    split_sets,
    take_back,
)
from xray_generator.images import grid, read_image, resize_square

ERROR = "readers_reading"  # of the session: why an answer was not kept
CURRENT = "readers_current"  # of the session: (study, reader) of the reading that is open, () for none
STUDY = "readers_study"  # of the session: the id of the study that is chosen
KINDS = ("Real", "Synthetic")
RATINGS = {
    "confidence": ("How sure are you?", "1: a guess. 5: certain."),
    "quality": ("Image quality", "Sharpness, contrast, noise. 1: very poor. 5: excellent."),
    "plausibility": ("Plausibility of what it shows", "1: impossible. 5: nothing that could not be so."),
}
CHECKLIST = {
    "realism": ("Realism", "Do the images look like actual ones? 1: not at all. 5: fully."),
    "anatomy": ("Anatomy", "Are the structures plausible? 1: wrong in most. 5: right in all."),
    "diversity": ("Diversity", "Do they vary as real ones do? 1: all alike. 5: as varied as real ones."),
    "artifacts": ("Free of artifacts", "Artifacts, noise, blur. 1: in most images. 5: in none."),
    "relevance": ("Clinical relevance", "Do they show what matters in practice? 1: nothing. 5: all of it."),
}
SPACE_PX = 330  # of what stands above and below the viewer
SHEET_SIDE, SHEET_COLUMNS = 128, 5


def draw_reading(root: Path, study: Study, reading: Reading) -> None:
    """Draw the image that comes next with its questions, or after the last the comparison of both sets."""
    draw_error(ERROR)
    place = next_place(study, reading)
    if place is None:
        _draw_sets(root, study, reading)
    else:
        _draw_image(root, study, reading, place)


def _draw_image(root: Path, study: Study, reading: Reading, place: int) -> None:
    done, total = len(reading.answers), len(study.items)
    key = f"readers {study.id} {reading.reader} {done}"
    left, right = st.columns([3, 2], gap="medium")
    with left:
        label = f"Image {done + 1}"
        draw_viewer({label: read_blind(root, study, place)}, f"viewer {key}", space_px=SPACE_PX, unknown=[label])
    with right:
        st.progress(done / total, escape_markdown(f"{reading.reader}: image {done + 1} of {total}, half are synthetic"))
        kind = st.segmented_control("This image is", KINDS, key=f"kind {key}", width="stretch", persist_state="session")
        ratings = {name: _rate(*words, f"{name} {key}") for name, words in RATINGS.items()}
        is_complete = kind is not None and None not in ratings.values()
        with st.container(horizontal=True):
            st.button("Back", key="readers_back", disabled=not done, on_click=_take_back, args=(root, study, reading))
            st.button(
                "Next",
                key="readers_next",
                type="primary",
                disabled=not is_complete,
                shortcut="Ctrl+Enter",
                on_click=_answer,
                args=(root, study, reading, place, kind, ratings),
            )
            _draw_leave()


def _draw_sets(root: Path, study: Study, reading: Reading) -> None:
    sets = split_sets(study, reading.reader)
    names = ("Set A", "Set B")
    st.markdown(
        f"All images are judged. One of these sets holds the {count_text(len(sets.first), 'real image')}, the other the"
        " synthetic ones; which is which you see after this last page."
    )
    sheets = {
        name: _make_sheet(root, study, places) for name, places in zip(names, (sets.first, sets.second), strict=True)
    }
    draw_viewer(sheets, f"sets {study.id} {reading.reader}", space_px=SPACE_PX, unknown=names)
    checklists = []
    for column, name in zip(st.columns(2, gap="medium"), names, strict=True):
        with column:
            st.markdown(f"**{name}**")
            key = f"{name} {study.id} {reading.reader}"
            checklists.append({one: _rate(*words, f"{one} {key}") for one, words in CHECKLIST.items()})
    is_complete = all(None not in one.values() for one in checklists)
    with st.container(horizontal=True):
        st.button(
            "Finish and see the results",
            key="readers_finish",
            type="primary",
            disabled=not is_complete,
            on_click=_finish,
            args=(root, study, reading, checklists),
        )
        _draw_leave()


def _rate(title: str, words: str, key: str) -> int | None:
    value: int | None = st.segmented_control(
        title, range(1, MAX_RATING + 1), key=key, help=words, width="stretch", persist_state="session"
    )
    return value


def _draw_leave() -> None:
    st.button(
        "Leave for now",
        key="readers_leave",
        on_click=st.session_state.__setitem__,
        args=(CURRENT, ()),
        help="All answers are kept. You go on with the next image.",
    )


@st.cache_data(max_entries=4, show_spinner=False, scope="session", hash_funcs={Study: lambda study: study.id})
def _make_sheet(root: Path, study: Study, places: Sequence[int]) -> bytes:
    images = [resize_square(read_image(read_blind(root, study, place)), SHEET_SIDE) for place in places]
    return encode_blind(grid(images, SHEET_COLUMNS))


def _answer(
    root: Path, study: Study, reading: Reading, place: int, kind: str | None, ratings: dict[str, int | None]
) -> None:
    given = {name: value or 0 for name, value in ratings.items()}  # 0, an incomplete answer, is refused
    with keep_error(ERROR):
        add_answer(root, study, reading, Answer(place, says_generated=kind == KINDS[1], **given))


def _take_back(root: Path, study: Study, reading: Reading) -> None:
    with keep_error(ERROR):
        take_back(root, study, reading)


def _finish(root: Path, study: Study, reading: Reading, checklists: Sequence[dict[str, int | None]]) -> None:
    first, second = (Checklist(**{name: value or 0 for name, value in one.items()}) for one in checklists)
    with keep_error(ERROR):
        finish(root, study, reading, first, second)
        st.session_state[STUDY] = study.id  # the results of this one are shown
