"""Several images of the gallery: compared, put into a collection, exported, deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st

from pages.create.gallery_image import change, delete_images, find_window
from pages.kit.album import describe_entry
from pages.kit.services import count_text, escape_markdown
from pages.kit.viewer import draw_slider, draw_viewer
from xray_generator.album.export import MAX_EXPORTED, archive
from xray_generator.album.facts import differing
from xray_generator.album.index import Choices, Entry

MARKED = "gallery_marked"  # of the session: the file names of the images that are marked
MOST = 4  # images that are compared
VIEWER_PX = 480  # what stands around the viewer


def draw_selection(entries: Sequence[Entry], choices: Choices, titles: Mapping[str, str]) -> None:
    """Draw the images side by side with what differs, and what can be done with all of them."""
    compared = entries[:MOST]
    if len(compared) > 1:
        draw_comparison(compared, titles)
    else:
        st.caption("Select a second image to compare the two.")
    if len(entries) > MOST:
        st.caption(f"Compared are the first {MOST} of {count_text(len(entries), 'image')}.")
    draw_actions(entries, choices)


def draw_comparison(entries: Sequence[Entry], titles: Mapping[str, str]) -> None:
    """Draw two to four images that zoom together, or two under a slider, and the fields in which they differ."""
    names = [f"{number}: seed {entry.recipe.request.seed}" for number, entry in enumerate(entries, 1)]
    files = [entry.path.read_bytes() for entry in entries]
    ratios = {entry.recipe.request.width / entry.recipe.request.height for entry in entries}
    can_slide = len(entries) == 2 and len(ratios) == 1
    if can_slide and st.toggle("One over the other", key="gallery_slide", persist_state="session"):
        draw_slider(files[0], names[0], files[1], names[1], ratio=ratios.pop(), key="gallery_slider")
    else:
        images = dict(zip(names, files, strict=True))
        draw_viewer(images, "gallery_compared", space_px=VIEWER_PX, window=find_window(entries))
    for name, entry in zip(names, entries, strict=True):
        st.caption(escape_markdown(f"{name} · {describe_entry(entry, titles)}"))
    st.markdown("**What differs**")
    if rows := differing([entry.recipe for entry in entries]):
        columns = {name: [row.values[place] for row in rows] for place, name in enumerate(names)}
        st.dataframe({"Field": [row.name for row in rows], **columns}, hide_index=True, width="stretch")
    else:
        st.text("Nothing: the recipes are the same.")


def draw_actions(entries: Sequence[Entry], choices: Choices) -> None:
    """Draw what is done with all images that are marked."""
    names = [entry.name for entry in entries]
    with st.container(horizontal=True):
        st.download_button(
            "Download as ZIP",
            partial(archive, entries),
            "selection.zip",
            "application/zip",
            key="gallery_zip",
            icon=":material/download:",
            on_click="ignore",
            disabled=len(entries) > MAX_EXPORTED,
            help="The images with their recipes, and a table of what they show that the dataset explorer reads.",
        )
        all_favorite = all(entry.note.is_favorite for entry in entries)
        st.button(
            "No favorites" if all_favorite else "Favorites",
            key="gallery_favorite_all",
            icon=":material/favorite:",
            on_click=change,
            args=(names,),
            kwargs={"is_favorite": not all_favorite},
        )
        st.button("Delete", key="gallery_delete_all", icon=":material/delete:", on_click=_delete, args=(names,))
        st.button("Clear", key="gallery_clear", on_click=st.session_state.update, args=({MARKED: []},))
    st.selectbox(
        "Add to a collection",
        choices.collections,
        index=None,
        key="gallery_collect_all",
        accept_new_options=True,
        placeholder="Add to a collection; type a new name",
        label_visibility="collapsed",
        on_change=_collect,
        args=(entries,),
    )


def _delete(names: Sequence[str]) -> None:
    delete_images(names)
    st.session_state[MARKED] = []


def _collect(entries: Sequence[Entry]) -> None:
    """Add all images to the collection that was chosen, and show the choice empty again."""
    name = st.session_state["gallery_collect_all"]
    st.session_state["gallery_collect_all"] = None
    for entry in entries if name else ():
        change([entry.name], collections=(*entry.note.collections, name))
