"""Which dataset to explore: the one of this server, or a visitor's upload that only this session sees."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from pages.parts.services import plain
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Dataset, Row
from xray_generator.data.uploads import MAX_UPLOAD_MB, TABLES, NamedBytes, Upload, receive
from xray_generator.types import StudioError

KIND, FILES, HAS_NEW, UPLOAD, FAULT = (
    "dataset_kind",
    "dataset_files",
    "dataset_has_new",
    "dataset_upload",
    "dataset_fault",
)
DEFAULT, OWN = "This server's", "Your upload"
HELP = (
    "Image files (PNG, JPEG, TIFF, DICOM), or one ZIP: of images alone, of a captioned pack (metadata.csv and images/),"
    " or of the Indiana layout (indiana_reports.csv, indiana_projections.csv and images/). They are kept for this"
    " session only and removed when you replace them or leave."
)


@dataclass(frozen=True, slots=True)
class Explored:
    """A dataset on the page."""

    key: str  # begins the keys of its fields: another dataset has other values
    name: str
    folder: Path
    dataset: Dataset
    has_table: bool = True


def default_folder() -> Path:
    """DATASET_PATH, or the sample that ships."""
    return Path(os.environ.get("DATASET_PATH", "dataset"))


def default_dataset() -> Dataset:
    """The dataset of this server, read again when its tables change.

    Raises:
        StudioError: no folder, neither layout, or a fault in a table.
    """
    folder = default_folder()
    tables = (folder / name for name in TABLES)
    return _read(folder, tuple(table.stat().st_mtime_ns for table in tables if table.is_file()))


def default_rows() -> tuple[Row, ...]:
    """Its rows."""
    return default_dataset().rows


@st.cache_resource(max_entries=2, show_spinner="Reading the dataset")
def _read(folder: Path, written_ns: tuple[int, ...]) -> Dataset:  # noqa: ARG001 - a part of the cache's key
    return read_dataset(folder)


def pick_dataset() -> Explored | None:
    """Draw the choice; None until there is a dataset. StudioError where the server's cannot be read."""
    st.session_state.setdefault(KIND, DEFAULT)
    is_own = st.session_state[KIND] == OWN
    choice, field = st.columns([1, 3], vertical_alignment="top" if is_own else "bottom")
    kind = choice.segmented_control("Dataset", (DEFAULT, OWN), required=True, key=KIND, persist_state="session")
    with field:
        explored = _server() if kind == DEFAULT else _upload()
    if explored is not None and explored.dataset.skipped:
        _draw_skipped(explored.dataset.skipped)
    return explored


def _server() -> Explored:
    folder = default_folder()
    try:
        dataset = default_dataset()
    except StudioError as error:
        hint = "Set DATASET_PATH to the folder of a dataset and start again, or choose Your upload."
        raise StudioError(f"{error} {hint}") from error
    facts = [f"{len(dataset.rows):,} images", *sorted({row.source for row in dataset.rows if row.source})]
    st.caption(plain(f"{folder.name} · {' · '.join(facts)}"))
    return Explored("server", folder.name, folder, dataset)


def _upload() -> Explored | None:
    files = st.file_uploader(
        f"Several images, or one ZIP; up to {MAX_UPLOAD_MB} MB each",
        key=FILES,
        accept_multiple_files=True,
        max_upload_size=MAX_UPLOAD_MB,
        on_change=_mark,
        help=HELP,
    )
    if st.session_state.pop(HAS_NEW, False):
        _take(files)
    if fault := st.session_state.get(FAULT):
        st.error(plain(fault))
    upload: Upload | None = st.session_state.get(UPLOAD)
    if upload is None:
        if not fault:
            st.info("Choose image files, or one ZIP. Nothing is read until you do.")
        return None
    kind = "with a table" if upload.has_table else "without a table, so only the images are known"
    st.caption(f"{len(upload.dataset.rows):,} images {kind}")
    key = upload.folder.path.name.encode().hex()  # a component's key allows few signs
    return Explored(key, "upload", upload.root, upload.dataset, upload.has_table)


def _mark() -> None:
    """Files came or went; leaving the page empties the field too, but says nothing here."""
    st.session_state[HAS_NEW] = True


def _take(files: list[UploadedFile]) -> None:
    """Replace the upload of this session, and remove the folder of the one before."""
    before: Upload | None = st.session_state.pop(UPLOAD, None)
    st.session_state.pop(FAULT, None)
    if before is not None:
        before.folder.close()
    if files:
        try:
            with st.spinner("Unpacking and reading the images"):
                st.session_state[UPLOAD] = receive([NamedBytes(file.name, file.getvalue()) for file in files])
        except StudioError as error:
            st.session_state[FAULT] = str(error)


def _draw_skipped(skipped: tuple[str, ...]) -> None:
    with st.expander(f"What was left out, and why ({len(skipped):,})"):
        for line in skipped:
            st.text(line)
