"""What is compared as files: every number as CSV, and all of it as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from xray_generator.dashboards.board import Column, Entry
from xray_generator.dashboards.report import to_csv


def draw_export(entries: Sequence[Entry], columns: Sequence[Column]) -> None:
    """Draw the buttons; a file is made when its button is pressed."""
    with st.container(horizontal=True):
        st.download_button(
            "Every number as CSV",
            partial(to_csv, entries),
            "evaluation.csv",
            "text/csv",
            key="board_csv",
            on_click="ignore",
            help="A line for each number: n, interval, yardstick, split, space, date, weights.",
        )
        st.download_button(
            "Report as HTML",
            partial(_report, entries, columns),
            "evaluation.html",
            "text/html",
            key="board_html",
            on_click="ignore",
            help="Tables and figures in one file that opens without a network; takes some seconds.",
        )


def _report(entries: Sequence[Entry], columns: Sequence[Column]) -> str:
    from xray_generator.dashboards.report_figures import make_report  # matplotlib: only when it is asked for

    return make_report(entries, columns)
