"""Times of one image at several numbers of steps: a curve and a table, those taken here beside those of a record."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.parts.charts import draw, lines
from pages.parts.measured import draw_tile
from pages.parts.services import plain
from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.timings import Timing, compare_times, machine_text, time_curve, time_text
from xray_generator.evaluation.records import Measurement, Record
from xray_generator.evaluation.summary import NOT_MEASURED


def draw_timings(manifest: Manifest, here: Sequence[Measurement], record: Record | None) -> None:
    """Draw times taken here (none: not yet) beside those of a record (None: there is none)."""
    timings = compare_times(here, record, manifest.recommended.scheduler)
    if not timings:
        st.info("Nothing was measured yet. Press the button, or make a record: `python -m xray_generator.evaluate`.")
        return
    rate = next((m for m in here if m.measure == "images_per_second"), None)
    left, right = st.columns([1, 3], gap="medium")
    with left:
        if rate is not None:
            draw_tile(rate)
        _draw_machines(timings, record)
    with right:
        draw(lines(time_curve(timings)), "model_times", 280)
    st.dataframe(
        _columns(timings, has_record=record is not None), hide_index=True, width="stretch", key="model_timings"
    )


def _draw_machines(timings: Sequence[Timing], record: Record | None) -> None:
    ours = next((timing.here for timing in timings if timing.here), None)
    theirs = next((timing.stored for timing in timings if timing.stored), None)
    if ours is not None:
        st.caption(plain(f"Here: {machine_text(ours)}."))
    if record is None:
        st.caption("No record of these weights keeps a time.")
    elif theirs is not None:
        st.caption(plain(f"Record of {record.created[:10]}: {machine_text(theirs)}."))


def _columns(timings: Sequence[Timing], *, has_record: bool) -> dict[str, list[str]]:
    ours = [timing.here for timing in timings]
    columns = {
        "Steps": [f"{timing.steps:,}" for timing in timings],
        "Network evaluations": [time_text(timing.here or timing.stored, "network_evaluations") for timing in timings],
    }
    if any(ours):
        columns |= {
            "Median (ms)": [time_text(m) or NOT_MEASURED for m in ours],
            "Fastest (ms)": [time_text(m, "fastest_ms") for m in ours],
            "Slowest (ms)": [time_text(m, "slowest_ms") for m in ours],
            "Images": [f"{m.n:,}" if m else "" for m in ours],
        }
    if has_record:
        columns["Record (ms)"] = [time_text(timing.stored) or NOT_MEASURED for timing in timings]
    return columns
