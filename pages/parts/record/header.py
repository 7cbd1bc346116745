"""What a record judged, on what, with what and when; and the files that it can be taken away as."""

from __future__ import annotations

from functools import partial

import streamlit as st

from pages.parts.services import plain
from xray_generator.dashboards.board import Entry, age
from xray_generator.dashboards.report_files import stored_figures, zip_record
from xray_generator.dashboards.timings import MACHINE
from xray_generator.evaluation.records import Record
from xray_generator.evaluation.summary import SUMMARY, summarize
from xray_generator.studio import Studio

UNKNOWN = "not recorded"
DRAWN_WITH = {"scheduler": "{}", "num_inference_steps": "{} steps", "guidance_scale": "guidance {}"}


def draw_header(entry: Entry) -> None:
    """Draw the facts of a record, and a warning where its weights are others than those at hand."""
    if entry.stale:
        st.warning(plain(f"{entry.stale} Evaluate again to have numbers of the present ones."))
    facts = _facts(entry.record)
    grid = st.grid(4, min_column_width=160)
    for name, value in facts.items():
        with grid.cell(), st.container(gap=None):
            st.caption(name)
            st.text(value)


def draw_downloads(entry: Entry, studio: Studio) -> None:
    """Draw the buttons: the record, its summary, and both with the stored figures."""
    figures = stored_figures(entry, studio.figure_dir)
    with st.container(horizontal=True):
        st.download_button(
            "Record as JSON",
            entry.path.read_bytes,
            entry.path.name,
            "application/json",
            key="metrics_json",
            on_click="ignore",
        )
        st.download_button(
            "Summary in plain words",
            partial(summarize, entry.record),
            SUMMARY,
            "text/markdown",
            key="metrics_summary",
            on_click="ignore",
        )
        st.download_button(
            f"All with {len(figures)} figures" if figures else "Both as ZIP",
            partial(zip_record, entry, figures),
            f"{entry.record.name}.zip",
            "application/zip",
            key="metrics_zip",
            on_click="ignore",
        )


def _facts(record: Record) -> dict[str, str]:
    settings, checkpoint = record.settings, record.checkpoint
    drawn = [text.format(settings[key]) for key, text in DRAWN_WITH.items() if key in settings]
    real = [str(settings.get("real", UNKNOWN)), f"{settings.get('split') or 'no'} split", _count(settings, "num_real")]
    return {
        "Judged": checkpoint.full_name if checkpoint else f"{record.subject}, images of a folder",
        "SHA-256 of the weights": checkpoint.sha256[:12] if checkpoint else "unknown origin",
        "Generated images": _count(settings, "num_images"),
        "Drawn with": ", ".join(drawn) or UNKNOWN,
        "Real images": ", ".join(real),
        "Measured": f"{record.created[:10]}, {age(record.created)}",
        "Code": record.commit or UNKNOWN,
        "Machine": ", ".join(_machine(record)) or UNKNOWN,
    }


def _machine(record: Record) -> list[str]:
    texts = {"threads": "threads: {}", "torch": "torch {}"}
    return [texts.get(key, "{}").format(record.settings[key]) for key in MACHINE if key in record.settings]


def _count(settings: dict[str, object], key: str) -> str:
    value = settings.get(key)
    return f"n = {value:,}" if isinstance(value, int) else UNKNOWN
