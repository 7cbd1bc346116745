"""The stored records: read once for each change of the folder, and one of them chosen."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pages.parts.services import plain, studio
from xray_generator.checkpoints import list_checkpoints
from xray_generator.dashboards.board import COMMAND, Board, Entry, read_board
from xray_generator.evaluation.records import SUFFIX
from xray_generator.types import CheckpointRef

KEY = "metrics_record"


def load_board() -> Board:
    """All records, with what could not be read said on the page; where there is none, how to make one."""
    board = load_records()
    if not board.entries:
        st.info(
            plain(
                f"There is no record in {studio().metrics_dir} yet. Make one; it takes a few minutes with --suite quick:"
            )
        )
        st.code(COMMAND, language="bash")
    return board


def load_records() -> Board:
    """All records, read once for each change of the folder, with what could not be read said on the page."""
    folder = studio().metrics_dir
    stamps = tuple((path.name, path.stat().st_mtime_ns) for path in sorted(folder.glob(f"*{SUFFIX}")))
    board = _read(folder, tuple(manifest.ref for manifest in list_checkpoints(studio().checkpoint_root)), stamps)
    for fault in board.faults:
        st.error(plain(fault))
    return board


def pick_entry(board: Board) -> Entry:
    """Draw the picker; full suites come first, the newest first."""
    entries = {entry.path.name: entry for entry in board.entries}
    if st.session_state.get(KEY) not in entries:
        st.session_state.pop(KEY, None)
    name = st.selectbox(
        "Record",
        list(entries),
        key=KEY,
        format_func=lambda name: _label(entries[name]),
        persist_state="session",
        help="One run of the evaluation. The full suite has more images and more measures than the quick one.",
    )
    return entries[name]


def _label(entry: Entry) -> str:
    record = entry.record
    stale = ", weights changed or not here" if entry.stale else ""
    return f"{record.subject} · {entry.group} · {record.created[:10]}{stale}"


@st.cache_data(max_entries=4, show_spinner=False)
def _read(
    folder: Path,
    refs: tuple[CheckpointRef, ...],
    stamps: tuple[tuple[str, int], ...],  # noqa: ARG001 - the cache's key
) -> Board:
    return read_board(folder, refs)
