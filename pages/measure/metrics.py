"""Metrics: what one evaluation found, as figures, each number with its source, yardstick and age."""

from __future__ import annotations

import streamlit as st

from pages.parts.metrics.sections import draw_sections
from pages.parts.record.header import draw_downloads, draw_header
from pages.parts.record.picker import load_board, pick_entry
from pages.parts.services import plain, studio
from xray_generator.dashboards.report_files import stored_figures
from xray_generator.types import StudioError


def main() -> None:
    """Draw the page."""
    st.caption(
        "What one evaluation found. Each number stands beside the same number of real images, where there is one."
    )
    try:
        board = load_board()
        if not board.entries:
            return
        entry = pick_entry(board)
        draw_header(entry)
        draw_downloads(entry, studio())
        draw_sections(entry.record, stored_figures(entry, studio().figure_dir))
    except (StudioError, OSError) as error:
        st.error(plain(error))
        return
    if entry.record.notes:
        st.subheader("Notes", anchor=False)
        for note in entry.record.notes:
            st.markdown(f"- {plain(note)}")


main()
