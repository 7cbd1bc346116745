"""Which real images go through the autoencoder: some of the data set that no training saw, or an uploaded one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st
from pages.parts.dataset.source import default_dataset, default_folder

from pages.parts.services import plain
from xray_generator.data.exploration import fingerprint
from xray_generator.data.rows import Row
from xray_generator.images import FORMATS, read_image

if TYPE_CHECKING:
    from xray_generator.evaluation.image_sets import ImageSet

SOURCES = ("Test images", "Upload")
UPLOAD, KEPT, FIRST = "model_upload", "model_upload_kept", "model_first_image"
MAX_UPLOAD_MB, MAX_SHOWN = 64, 8


def pick_images(size: int) -> ImageSet | None:
    """Draw the picker; None until there is an image. StudioError where the chosen one cannot be read."""
    left, right = st.columns([1, 3], gap="medium", vertical_alignment="bottom")
    source = left.segmented_control(
        "Images", SOURCES, default=SOURCES[0], required=True, key="model_source", persist_state="session"
    )
    with right:
        return _pick_upload(size) if source == "Upload" else _pick_rows(size)


def _pick_rows(size: int) -> ImageSet | None:
    rows = default_dataset().split("test")
    if not rows:
        st.info(plain(f"The data set in {default_folder()} has no images of the test split. Upload one instead."))
        return None
    count_field, button = st.columns([3, 1], vertical_alignment="bottom")
    most = min(MAX_SHOWN, len(rows))
    count = count_field.number_input(
        f"How many, of {len(rows):,} that training never saw",
        1,
        most,
        min(3, most),
        key=f"model_num_images {most}",
        persist_state="session",
    )
    button.button("Others", key="model_others", on_click=_next, width="stretch")
    return _read_images(fingerprint(rows), size, count, st.session_state.get(FIRST, 0), rows)


def _next() -> None:
    st.session_state[FIRST] = st.session_state.get(FIRST, 0) + 1


@st.cache_data(max_entries=8, show_spinner=False)
def _read_images(key: str, size: int, count: int, first: int, _rows: Sequence[Row]) -> ImageSet:  # noqa: ARG001 - the key stands for the rows
    from xray_generator.dashboards.reconstruction import pick_images

    return pick_images(_rows, size, count, first)


def _pick_upload(size: int) -> ImageSet | None:
    st.file_uploader(
        f"{', '.join(FORMATS)}; 8 or 16 bits; up to {MAX_UPLOAD_MB} MB",
        key=UPLOAD,
        max_upload_size=MAX_UPLOAD_MB,
        on_change=_keep,
    )
    kept = st.session_state.get(KEPT)
    return None if kept is None else _read_upload(kept, size)


def _keep() -> None:
    """Hold the file for the session: the field forgets it when the page is left."""
    file = st.session_state[UPLOAD]
    st.session_state[KEPT] = None if file is None else file.getvalue()


@st.cache_data(max_entries=1, show_spinner="Reading the image", scope="session")
def _read_upload(data: bytes, size: int) -> ImageSet:
    from xray_generator.dashboards.reconstruction import single_image

    return single_image(read_image(data), size, "uploaded image")
