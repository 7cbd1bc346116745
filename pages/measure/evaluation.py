"""Evaluation: the stored records of all checkpoints side by side, ranked, drawn and exported."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.parts.board.export import draw_export
from pages.parts.board.figures import draw_conditions, draw_radars
from pages.parts.board.sweeps import draw_sweeps
from pages.parts.board.table import draw_comparison, draw_ranks
from pages.parts.record.picker import load_board
from pages.parts.services import plain
from xray_generator.dashboards.board import Board, Column, Entry, column_names, columns_of, first_columns
from xray_generator.types import StudioError

GROUP = "board_group"
TABS = {"Steps and time": draw_sweeps, "Conditions": draw_conditions, "Radar": draw_radars}


def main() -> None:
    """Draw the page."""
    st.caption(
        "Everything that was evaluated, side by side. Only records of one suite and the same real images compare."
    )
    try:
        board = load_board()
        if board.entries:
            _draw(board)
    except (StudioError, OSError) as error:
        st.error(plain(error))


def _draw(board: Board) -> None:
    entries, columns = _choose(board)
    if not columns:
        st.info("Choose a measure.")
        return
    for entry in entries:
        if entry.stale:
            st.warning(plain(entry.stale))
    _say_counts(entries)
    draw_comparison(entries, columns)
    draw_export(entries, columns)
    st.subheader("Ranks", anchor=False)
    draw_ranks(entries, columns)
    for tab, draw in zip(st.tabs(list(TABS), key="board_tab", on_change="rerun"), TABS.values(), strict=True):
        with tab:
            if tab.open:
                draw(entries)


def _choose(board: Board) -> tuple[Sequence[Entry], Sequence[Column]]:
    groups = list(dict.fromkeys(entry.group for entry in board.entries))
    if st.session_state.get(GROUP) not in groups:
        st.session_state.pop(GROUP, None)
    group = st.selectbox("Suite and real images", groups, key=GROUP, persist_state="session")
    entries = [entry for entry in board.entries if entry.group == group]
    records = [entry.record for entry in entries]
    columns = {name: column for column, name in column_names(columns_of(records)).items()}
    first, key = set(first_columns(records)), f"board_columns {group}"
    kept = st.session_state.get(key, [name for name, column in columns.items() if column in first])
    st.session_state[key] = [name for name in kept if name in columns]  # a record may have gone since
    chosen = st.multiselect(
        "Measures",
        list(columns),
        key=key,
        persist_state="session",
        help="The same measure in another feature space is another measure; the encoder's comes first.",
    )
    return entries, [columns[name] for name in chosen]


def _say_counts(entries: Sequence[Entry]) -> None:
    counts = {entry.record.settings.get("num_images") for entry in entries}
    if len(counts) > 1:
        st.caption(
            "The records cover different numbers of images. With more, distances fall, and the ratio to real of the "
            "same fault grows: only numbers of equal n are ranked."
        )


main()
