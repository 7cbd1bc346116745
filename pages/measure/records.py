"""The stored evaluation records, as the Measure pages read them."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pages.kit.services import Stamped, draw_fault, escape_markdown, studio
from xray_generator.checkpoints import Manifest, list_checkpoints
from xray_generator.dashboards.board import COMMAND, Board, age, read_board
from xray_generator.evaluation.records import SUFFIX, Record
from xray_generator.evaluation.summary import NOT_MEASURED
from xray_generator.types import CheckpointRef


def load_records() -> Board:
    """All records, those of the first checkpoint first; an error on the page names each that cannot be read."""
    folder = studio().metrics_dir
    files = tuple(map(Stamped.of, sorted(folder.glob(f"*{SUFFIX}"))))
    refs = tuple(manifest.ref for manifest in list_checkpoints(studio().checkpoint_root))
    board = _read(folder, refs, next((manifest.ref for manifest in studio().checkpoints()), None), files)
    for fault in board.faults:
        draw_fault(fault)
    return board


def load_board() -> Board:
    """All records; where there is none, the page says how to make one."""
    board = load_records()
    if not board.entries:
        folder = studio().metrics_dir
        st.info(escape_markdown(f"There is no record in {folder} yet. Make one (a few minutes with --suite quick):"))
        st.code(COMMAND, language="bash")
    return board


def find_record(manifest: Manifest) -> Record | None:
    """The best record of a checkpoint, see `Board.find`."""
    return load_records().find(manifest.ref)


def draw_origin(record: Record, manifest: Manifest) -> None:
    """Draw what a record was measured on and when, and a warning if its weights were replaced since."""
    settings = record.settings
    st.caption(
        escape_markdown(
            f"{record.suite.capitalize()} suite, {settings.get('num_images', NOT_MEASURED)} generated images, "
            f"{settings.get('num_real', NOT_MEASURED)} real images of {settings.get('real', 'unknown')} "
            f"({settings.get('split', 'no')} split), measured {record.created[:10]}, {age(record.created)}."
        )
    )
    if record.checkpoint != manifest.ref:
        st.warning("The weights were replaced since this record was made, so it describes older weights.")


@st.cache_data(max_entries=4, show_spinner=False, hash_funcs={Stamped: hash})
def _read(
    folder: Path,
    refs: tuple[CheckpointRef, ...],
    first: CheckpointRef | None,
    files: tuple[Stamped, ...],  # noqa: ARG001 - read again when these change
) -> Board:
    return read_board(folder, refs, first)
