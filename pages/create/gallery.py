"""Gallery: every image of this person, found by what its recipe says; looked at, rated, compared, deleted, exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

import streamlit as st

from pages.create.gallery_image import DELETED, draw_image
from pages.create.gallery_selection import MARKED, draw_selection
from pages.kit.album import OPEN, all_class_titles, make_tile, own_folders, own_index
from pages.kit.jobs import draw_error, draw_hint, keep_error
from pages.kit.services import count_text, explain_faults
from pages.kit.thumbnails import draw_thumbnails
from xray_generator.album.export import MAX_EXPORTED, archive
from xray_generator.album.index import ORDERS, Choices, Entry, Found, Index, Search
from xray_generator.album.notes import MAX_RATING
from xray_generator.album.trash import KEPT_DAYS, empty_trash, list_deletions, undo
from xray_generator.data.naming import plain
from xray_generator.data.rows import finding_name
from xray_generator.registry import get_family

PER_PAGE = 48
VIEW = "gallery_view"  # of the session
IMAGE, SELECTION = "Image", "Selection"
WORDS_HELP = (
    "All words must occur: in the prompt, the class, the model. Settings: seed:7, steps:20, size:512, guidance:3."
)


@explain_faults()  # a file may be gone since it was found
def main() -> None:
    """Draw the search, below it what was found, and beside that the image or the images that are chosen."""
    titles = all_class_titles()
    with st.spinner("Reading your images"):
        index = own_index()
    search = draw_search(index.choices(), titles)
    draw_undo()
    draw_error("gallery")
    grid, panel = st.columns([3, 2], gap="medium")
    with grid:
        found = draw_found(index, search, titles)
    with panel:
        draw_panel(index, found, titles)


# Search


def draw_search(choices: Choices, titles: Mapping[str, str]) -> Search:
    """Draw what to look for, and what was deleted."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        words = st.text_input("Search", key="gallery_words", persist_state="session", help=WORDS_HELP)
        order = st.selectbox("Order", list(ORDERS), key="gallery_order", persist_state="session", width=140)
        with st.popover("Filters", icon=":material/filter_list:"):
            search = draw_filters(choices, titles, words, order)
        draw_deletions()
    return search


def draw_filters(choices: Choices, titles: Mapping[str, str], words: str, order: str) -> Search:
    """Draw the filters; those that this gallery has no use for are left out."""
    only_favorites = st.toggle("Favorites only", key="gallery_favorites", persist_state="session")
    left, right = st.columns(2)
    since = left.date_input("From", None, key="gallery_since", persist_state="session")
    until = right.date_input("Until", None, key="gallery_until", persist_state="session")
    return Search(
        words,
        _pick("Family", "family", choices.families, lambda name: get_family(name).title),
        _pick("Model", "checkpoint", choices.checkpoints, lambda name: name.rpartition("/")[2]),
        _pick("Class", "label", choices.labels, lambda label: titles.get(label) or plain(label)),
        _pick("Finding", "finding", choices.findings, finding_name),
        _pick("Kind", "kind", choices.kinds, plain),
        since,
        until,
        int(_pick("Rating", "rating", [str(n) for n in range(1, MAX_RATING + 1)], _describe_rating) or 0),
        only_favorites,
        _pick("Collection", "collection", choices.collections, str),
        order,
    )


def _describe_rating(rating: str) -> str:
    return f"{'★' * int(rating)}{'' if int(rating) == MAX_RATING else ' or more'}"


def _pick(title: str, name: str, values: Sequence[str], describe: Callable[[str], str]) -> str:
    """Draw a choice among values or any, which is the empty text; nothing where there is no choice."""
    key = f"gallery_{name}"
    if st.session_state.get(key) not in values:
        st.session_state[key] = ""
    if not values:
        return ""
    value: str = st.selectbox(
        title,
        ["", *values],
        key=key,
        format_func=lambda value: describe(value) if value else "any",
        persist_state="session",
    )
    return value


# Deleted images


def draw_deletions() -> None:
    """Draw what was deleted, each with a button that brings it back."""
    if not (deletions := list_deletions(own_folders())):
        return
    with st.popover("Deleted", icon=":material/delete:", help=f"Kept for {KEPT_DAYS} days."):
        for one in deletions[:20]:
            when = datetime.fromtimestamp(one.at).strftime("%d %b %Y, %H:%M")
            label = f"Restore {count_text(len(one.names), 'image')} of {when}"
            st.button(label, key=f"gallery_restore {one.id}", on_click=bring_back, args=(one.id,), width="stretch")
        emptying = partial(empty_trash, own_folders(), all_of_it=True)
        st.button("Delete all of them for good", key="gallery_empty", on_click=emptying, width="stretch")


def draw_undo() -> None:
    """Say what was deleted just now, with a button that undoes it."""
    last = st.session_state.get(DELETED)
    deletion = next((one for one in list_deletions(own_folders()) if one.id == last), None)
    if deletion is not None:
        with st.container(horizontal=True, vertical_alignment="center", border=True):
            st.text(f"{count_text(len(deletion.names), 'image')} deleted.")
            st.button("Undo", key="gallery_undo", icon=":material/undo:", on_click=bring_back, args=(deletion.id,))


def bring_back(deletion_id: str) -> None:
    """Undo a deletion, and show its first image."""
    with keep_error("gallery"):
        deletion = undo(deletion_id, own_folders())
        st.session_state.pop(DELETED, None)
        if deletion.names:
            st.session_state[OPEN] = deletion.names[0]


# What was found


def draw_found(index: Index, search: Search, titles: Mapping[str, str]) -> Found:
    """Draw a page of thumbnails of what a search finds."""
    key = f"gallery_page of {search}"
    found = index.find(search, (st.session_state.get(key, 1) - 1) * PER_PAGE, PER_PAGE)
    if found.total and not found.entries:  # the last page is gone
        st.session_state.pop(key, None)
        found = index.find(search, 0, PER_PAGE)
    if not found.total:
        is_empty = not index.find(Search(), 0, 1).total
        draw_hint("Your images appear here: draw one on the Generator page." if is_empty else "Nothing was found.")
        return found
    names = [entry.name for entry in found.entries]
    if not index.get([st.session_state.get(OPEN, "")]):
        st.session_state[OPEN] = names[0]
    marked: list[str] = st.session_state.setdefault(MARKED, [])
    opened = st.session_state[OPEN]

    def choose(place: int) -> None:
        st.session_state.update({OPEN: names[place], VIEW: IMAGE})

    def mark(place: int) -> None:
        kept = [name for name in marked if name != names[place]]
        kept += [names[place]] * (len(kept) == len(marked))
        st.session_state.update({MARKED: kept, VIEW: SELECTION if kept else IMAGE})

    tiles = [make_tile(entry, titles, is_marked=entry.name in marked) for entry in found.entries]
    place = names.index(opened) if opened in names else -1
    draw_thumbnails(tiles, place, "gallery_grid", choose, mark)
    draw_foot(index, search, found, key)
    return found


def draw_foot(index: Index, search: Search, found: Found, key: str) -> None:
    """Draw the choice of a page under its key, how many images were found, and their download."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if found.total > PER_PAGE:
            st.pagination(-(-found.total // PER_PAGE), key=key)
        count = index.find(Search(), 0, 0).total
        st.caption(
            f"{found.total:,} of {count_text(count, 'image')}" if found.total < count else count_text(count, "image")
        )
        st.download_button(
            "All found as ZIP",
            lambda: archive(index.find(search, 0, MAX_EXPORTED).entries),
            "gallery.zip",
            "application/zip",
            key="gallery_zip_found",
            on_click="ignore",
            disabled=found.total > MAX_EXPORTED,
            help=f"With a table of what they show; up to {MAX_EXPORTED:,} images.",
        )


def draw_panel(index: Index, found: Found, titles: Mapping[str, str]) -> None:
    """Draw the image that was opened, or the images that are marked."""
    marked: tuple[Entry, ...] = index.get(st.session_state.get(MARKED, []))
    view: str | None = IMAGE
    if marked:
        view = st.segmented_control(
            "Show",
            [IMAGE, SELECTION],
            key=VIEW,
            required=True,
            label_visibility="collapsed",
            format_func=lambda name: name if name == IMAGE else f"{name} ({len(marked)})",
        )
    opened = index.get([st.session_state.get(OPEN, "")])
    if view == SELECTION:
        draw_selection(marked, index.choices(), titles)
    elif opened:
        draw_image(index, opened[0], titles)
    elif found.total:
        draw_hint("Choose an image.")


main()
