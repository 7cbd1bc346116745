"""One image of the gallery: large, with its recipe in words, what this person thinks of it, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import streamlit as st

from pages.kit.album import OPEN, REUSED, describe_entry, make_tile, own_folders
from pages.kit.facts import draw_facts
from pages.kit.jobs import keep_error
from pages.kit.sampling import MAX_FIELD_SEED, lock_seed
from pages.kit.send import draw_send, find_manifest
from pages.kit.services import Stamped, escape_markdown
from pages.kit.thumbnails import draw_thumbnails
from pages.kit.viewer import draw_viewer
from xray_generator.album.facts import facts
from xray_generator.album.index import Entry, Index
from xray_generator.album.notes import MAX_COLLECTIONS, change_note
from xray_generator.album.trash import delete
from xray_generator.checkpoints import Manifest
from xray_generator.data.naming import checkpoint_title
from xray_generator.dicom.hounsfield import Window
from xray_generator.export.pictures import Picture
from xray_generator.images import read_image
from xray_generator.types import Image

DELETED = "gallery_deleted"  # of the session: the deletion that can be undone at once
VIEWER_PX = 420  # what stands around the viewer
SHOWN = ("Seed", "Steps", "Guidance", "Scheduler", "Enhancement", "Strength of the edit", "Enlarged by")


def draw_image(index: Index, entry: Entry, titles: Mapping[str, str]) -> None:
    """Draw an image with all that can be done with it."""
    recipe = entry.recipe
    manifest = find_manifest(recipe.checkpoint)
    st.text(describe_entry(entry, titles))
    st.caption(escape_markdown(_describe_maker(entry, manifest)))
    window = find_window([entry])
    png = {f"Seed {recipe.request.seed}": entry.path.read_bytes()}
    draw_viewer(png, "gallery_viewer", space_px=VIEWER_PX, window=window)
    draw_note(entry, index.choices().collections)
    draw_reuse(entry)
    if not recipe.preset:
        with st.container(horizontal=True):
            picture = Picture(read_whole(Stamped.of(entry.path)), recipe)
            draw_send(picture, "gallery_send", is_in_gallery=True)
    known = facts(recipe)
    size = {"Size": f"{recipe.request.width} x {recipe.request.height}"}
    made = {"Made": datetime.fromtimestamp(entry.made).strftime("%d %b %Y, %H:%M")}
    draw_facts(size | {name: known[name] for name in SHOWN if name in known} | made, columns=4, min_width=100)
    draw_lineage(index, entry, titles)
    with st.expander("All of the recipe"):
        st.dataframe({"Field": list(known), "Value": list(known.values())}, hide_index=True, width="stretch")


def _describe_maker(entry: Entry, manifest: Manifest | None) -> str:
    title = checkpoint_title(manifest) if manifest else "a model that is no longer here"
    return f"{title} · {entry.recipe.checkpoint.name} · {entry.keys.kind} · synthetic"


@st.cache_data(max_entries=8, show_spinner=False, scope="session", hash_funcs={Stamped: hash})
def read_whole(file: Stamped) -> Image:
    """The image of a file."""
    return read_image(file.path)


def find_window(entries: Sequence[Entry]) -> Window | None:
    """The Hounsfield units that all of these images have in common; None where they have none."""
    manifests = [None if entry.recipe.preset else find_manifest(entry.recipe.checkpoint) for entry in entries]
    windows = {manifest.hu_window if manifest else None for manifest in manifests}
    return windows.pop() if len(windows) == 1 else None


# What this person thinks of it


def draw_note(entry: Entry, collections: Sequence[str]) -> None:
    """Draw stars, favorite, collections and the deletion of an image."""
    name, note = entry.name, entry.note
    stars, chosen = f"gallery_stars {name}", f"gallery_collections {name}"
    st.session_state.update({stars: note.rating - 1 if note.rating else None, chosen: list(note.collections)})
    with st.container(horizontal=True, vertical_alignment="center"):
        st.feedback("stars", key=stars, on_change=_rate, args=(name, stars))
        st.button(
            "Favorite",
            key="gallery_favorite",
            icon=":material/favorite:",
            type="primary" if note.is_favorite else "secondary",
            on_click=change,
            args=([name],),
            kwargs={"is_favorite": not note.is_favorite},
        )
        st.button("Delete", key="gallery_delete", icon=":material/delete:", on_click=delete_images, args=([name],))
    st.multiselect(
        "Collections",
        sorted({*collections, *note.collections}),
        key=chosen,
        accept_new_options=True,
        max_selections=MAX_COLLECTIONS,
        placeholder="Put it into a collection; type a new name",
        label_visibility="collapsed",
        on_change=_collect,
        args=(name, chosen),
    )


def _rate(name: str, key: str) -> None:
    stars = st.session_state[key]
    change([name], rating=0 if stars is None else stars + 1)


def _collect(name: str, key: str) -> None:
    change([name], collections=tuple(st.session_state[key]))


def change(names: Sequence[str], **changes: object) -> None:
    """Replace fields of the notes on images; an error is kept for the page."""
    with keep_error("gallery"):
        for name in names:
            change_note(own_folders().own, name, **changes)


def delete_images(names: Sequence[str]) -> None:
    """Delete images; an error is kept for the page."""
    with keep_error("gallery"):
        st.session_state[DELETED] = delete(names, own_folders()).id


# What can be done with it


def draw_reuse(entry: Entry) -> None:
    """Draw the buttons that fill the Generator's form, and the download."""
    request, is_foreign = entry.recipe.request, entry.recipe.origin is not None
    with st.container(horizontal=True):
        if st.button(
            "Reuse settings",
            key="gallery_reuse",
            icon=":material/replay:",
            type="primary",
            disabled=is_foreign,
            help="The Generator cannot draw it: it was made on another page." if is_foreign else "Fill the Generator.",
        ):
            st.session_state[REUSED] = entry.path
            st.switch_page("create/generate.py")
        if st.button(
            "Reuse seed",
            key="gallery_seed",
            disabled=request.seed > MAX_FIELD_SEED,
            on_click=lock_seed,
            args=(request.seed,),
            help="The Generator keeps its other settings.",
        ):
            st.switch_page("create/generate.py")
        st.download_button(
            "PNG",
            entry.path.read_bytes,
            entry.name,
            "image/png",
            key="gallery_png",
            icon=":material/download:",
            on_click="ignore",
            help="With its recipe inside.",
        )


def draw_lineage(index: Index, entry: Entry, titles: Mapping[str, str]) -> None:
    """Draw what the image was made from, and what was made from it."""
    if not (relatives := index.relatives(entry)):
        return
    st.markdown("**Where it came from, and what was made of it**")
    names = [relative.entry.name for relative in relatives]
    tiles = [make_tile(relative.entry, titles, label=relative.relation) for relative in relatives]
    draw_thumbnails(tiles, -1, "gallery_lineage", lambda place: st.session_state.update({OPEN: names[place]}))
