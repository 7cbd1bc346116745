"""The gallery of the person at this browser: its folders, its index, and small pictures of it."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from pages.kit.services import Stamped, own_dir, shared_dir, studio
from pages.kit.thumbnails import THUMBNAIL_PIXELS, Tile
from xray_generator.album.folders import Folders
from xray_generator.album.index import Entry, Index
from xray_generator.album.notes import MAX_RATING
from xray_generator.data.naming import class_titles
from xray_generator.images import encode_png, limit_pixels, read_image
from xray_generator.requests import describe_condition
from xray_generator.types import StudioError

OPEN = "gallery_open"  # of the session: the file name of the image that the Gallery shows
REUSED = "reused"  # of the session: the file of an image whose settings the Generator is to take


def own_folders() -> Folders:
    """Where the images are that this person may see."""
    return Folders(own_dir(), shared_dir())


def own_index() -> Index:
    """The index of these images as they are now. StudioError: the person's folder takes none."""
    return Index(own_folders())


def all_class_titles() -> dict[str, str]:
    """The plain names of the classes of every checkpoint here."""
    return {label: title for m in studio().checkpoints() for label, title in class_titles(m.labels).items()}


def describe_entry(entry: Entry, titles: Mapping[str, str]) -> str:
    """What an image shows, in words; `titles` are those of classes."""
    return entry.keys.prompt or describe_condition(entry.recipe.request.condition, titles)


def make_tile(entry: Entry, titles: Mapping[str, str], *, label: str = "", is_marked: bool | None = None) -> Tile:
    """A thumbnail of an image; `label` is written below it in place of what it shows."""
    try:
        png = _read_thumbnail(Stamped.of(entry.path))
    except (StudioError, OSError):
        png = b""
    words, note = describe_entry(entry, titles), entry.note
    stars = "★" * note.rating + "☆" * (MAX_RATING - note.rating) if note.rating else ""
    facts = (words, entry.recipe.checkpoint.name, f"seed {entry.recipe.request.seed}", entry.keys.kind, stars)
    favorite = "♥ " if note.is_favorite else ""
    return Tile(png, label or f"{favorite}{words}", " · ".join(filter(None, facts)), is_marked)


@st.cache_data(max_entries=2_000, show_spinner=False, scope="session", hash_funcs={Stamped: hash})
def _read_thumbnail(file: Stamped) -> bytes:
    return encode_png(limit_pixels(read_image(file.path), THUMBNAIL_PIXELS))
