"""Which data set with classes real images come from: those in the folder of this server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from pages.parts.dataset.source import default_folder
from xray_generator.dashboards.latent_space import labeled_folders
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Row

MAX_KEPT = 4


def pick_rows(key: str = "latent_folder") -> Sequence[Row]:
    """Draw the choice, none at first; the rows of the chosen one. StudioError where it cannot be read."""
    folders = labeled_folders(default_folder())
    folder = st.selectbox(
        "Data set",
        folders,
        index=None,
        key=key,
        format_func=lambda path: path.name,
        persist_state="session",
        placeholder="none" if folders else "none with classes here",
        help="Data sets with classes, in this server's DATASET_PATH.",
    )
    return () if folder is None else _read(folder, folder.stat().st_mtime_ns)


@st.cache_data(max_entries=MAX_KEPT, show_spinner="Reading the data set")
def _read(folder: Path, modified_ns: int) -> tuple[Row, ...]:  # noqa: ARG001 - a part of the key
    return read_dataset(folder).rows
