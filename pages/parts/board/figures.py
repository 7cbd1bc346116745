"""Records side by side over conditions, and as ratios to real images."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.parts.charts import Number, draw, heat_map, radar
from pages.parts.services import plain
from xray_generator.dashboards.board import Entry, column_names, label_entries
from xray_generator.dashboards.prompts import condition_title
from xray_generator.dashboards.series import conditions_of, ratio_table, spokes
from xray_generator.evaluation.records import Record
from xray_generator.evaluation.summary import NOT_MEASURED

MOST_RADARS = 4
MEASURE, RECORD = "board_condition", "board_condition_record"
RATIOS = "One record: all measures, as a ratio to real"


def draw_conditions(entries: Sequence[Entry]) -> None:
    """One measure over conditions and records, or for one record conditions over measures."""
    table = conditions_of([entry.record for entry in entries])
    if not table:
        st.info("No record here measured parts of its images. The full suite takes conditions apart.")
        return
    labels, names = label_entries(entries), column_names(list(table))
    choices = {RATIOS: None, **{name: column for column, name in names.items()}}
    column = choices[_pick("Measure", list(choices), MEASURE)]
    if column is None:
        label = _pick("Record", labels, RECORD) if len(labels) > 1 else labels[0]
        _draw_ratios(entries[labels.index(label)].record)
        return
    values: list[list[Number]] = [[None if m is None else m.value for m in found] for found in table[column].values()]
    figure = heat_map(list(map(condition_title, table[column])), labels, values, "")
    draw(figure, "board_heat", 140 + 28 * len(values))


def _draw_ratios(record: Record) -> None:
    ratios = ratio_table(record)
    if not ratios.rows:
        st.caption(f"{NOT_MEASURED.capitalize()}: nothing in this record has a yardstick for each condition.")
        return
    names = column_names(ratios.columns)
    columns = [names[column].replace(" · ", "<br>") for column in ratios.columns]
    figure = heat_map(list(map(condition_title, ratios.rows)), columns, ratios.values, "× real")
    figure.update_traces(zmin=0, zmid=1, zmax=2, colorscale="RdBu")
    draw(figure, "board_heat", 160 + 28 * len(ratios.rows))
    st.caption("1: as real images of the condition. Red: less, blue: more; the colors end at 0 and 2.")


def _pick(label: str, options: Sequence[str], key: str) -> str:
    if st.session_state.get(key) not in options:
        st.session_state.pop(key, None)
    return str(st.selectbox(label, options, key=key, persist_state="session"))


def draw_radars(entries: Sequence[Entry]) -> None:
    """A radar of ratios to real for each chosen record."""
    labels = label_entries(entries)
    grid = st.grid(2, min_column_width=320)
    for label, entry in list(zip(labels, entries, strict=True))[:MOST_RADARS]:
        ratios = spokes(entry.record)
        missing = [name for name, ratio in ratios.items() if ratio is None]
        with grid.cell():
            st.markdown(f"**{plain(label)}**")
            if len(ratios) - len(missing) < 3:
                st.caption(f"{NOT_MEASURED.capitalize()}: a radar needs three measures that have a yardstick.")
                continue
            draw(radar(ratios), f"board radar {label}", 440)
            if missing:
                st.caption(plain(f"{NOT_MEASURED.capitalize()}: {', '.join(missing)}."))
    st.caption("Each spoke is generated divided by real, 1 on the blue ring; what is above 2 lies on the rim.")
    if len(entries) > MOST_RADARS:
        st.caption(f"The first {MOST_RADARS} of {len(entries)} records; choose fewer records above to see others.")
