"""What the rows of a dataset hold: findings, people, splits, and which findings stand together."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st

from pages.parts import charts
from pages.parts.dataset.image import SEXES
from pages.parts.dataset.source import Explored
from xray_generator.data.exploration import (
    NOT_KNOWN,
    co_occurrence,
    count_ages,
    count_facts,
    count_findings,
    count_patients,
    cross_count,
)
from xray_generator.data.rows import Row, finding_name

FINDING_PX, CELL_PX, AROUND_PX = 34, 26, 90  # the height of a line of each chart, and what is around


def draw_labels(rows: Sequence[Row], explored: Explored) -> None:
    """Draw all counts over the rows, one or more."""
    _draw_patients(rows)
    if not explored.has_table:
        st.info("These images came without a table: there are no findings, views or people to count.")
        return
    _draw_findings(rows)
    views, sexes, ages = st.columns([1, 1, 2])
    with views:
        _draw_counts("View", count_facts(rows, "view"), "dataset_views")
    with sexes:
        counts = {SEXES.get(sex, sex): number for sex, number in count_facts(rows, "sex").items()}
        _draw_counts("Sex", counts, "dataset_sexes")
    with ages:
        _draw_ages(rows)
    splits, images = st.columns(2)
    with splits:
        st.subheader("Split and source", anchor=False)
        table = cross_count(rows, "source", "split").rename_axis("Source").reset_index()
        st.dataframe(table, hide_index=True, key="dataset_split_table")
    with images:
        _draw_images_each(rows)
    _draw_co_occurrence(rows)


def _draw_patients(rows: Sequence[Row]) -> None:
    found = count_patients(rows)
    each = NOT_KNOWN if found.median is None else f"{found.median:g}"
    tiles = {
        "Images": f"{len(rows):,}",
        "Patients": f"{found.num_patients:,}" if found.num_patients else NOT_KNOWN,
        "Images of a patient, median": each,
        "Images of a patient, most": NOT_KNOWN if found.most is None else f"{found.most:,}",
        "Images without a patient": f"{found.num_without_id:,}",
        "Patients in several splits": f"{found.in_several_splits:,}" if found.num_patients else NOT_KNOWN,
    }
    grid = st.grid(len(tiles), min_column_width=130)
    for name, value in tiles.items():
        with grid.cell():
            st.metric(name, value)


def _draw_findings(rows: Sequence[Row]) -> None:
    st.subheader("Findings", anchor=False)
    counts = count_findings(rows).rename(index=finding_name)
    if counts.empty:
        st.info("No row states or denies a finding.")
        return
    chart, table = st.columns([3, 2], gap="medium")
    with chart:
        present = charts.counts(counts.present.to_dict(), "images")
        charts.draw(present, "dataset_findings", AROUND_PX + FINDING_PX * len(counts))
    with table:
        table = counts.rename(columns=str.capitalize).rename_axis("Finding").reset_index()
        st.dataframe(table, hide_index=True, key="dataset_finding_table", height="content")
        st.caption("Absent: the report denies it. Unknown: neither stated nor denied. An image may have several.")


def _draw_counts(title: str, counts: dict[str, int], key: str) -> None:
    st.subheader(title, anchor=False)
    charts.draw(charts.counts(counts, "images"), key, 260)


def _draw_ages(rows: Sequence[Row]) -> None:
    st.subheader("Age in years", anchor=False)
    ages = count_ages(rows)
    unknown = ages.pop(NOT_KNOWN, 0)
    if ages:
        figure = go.Figure(go.Bar(x=list(ages), y=list(ages.values()), marker_color=charts.REAL))
        figure.update_xaxes(type="category")
        figure.update_yaxes(title="images")
        charts.draw(figure, "dataset_ages", 260)
    st.caption(f"{unknown:,} of {len(rows):,} images have no age.")


def _draw_images_each(rows: Sequence[Row]) -> None:
    st.subheader("Images of a patient", anchor=False)
    each = count_patients(rows).images_each
    if not each:
        st.info("No row names its patient.")
        return
    figure = go.Figure(go.Bar(x=list(each), y=list(each.values()), marker_color=charts.REAL))
    figure.update_xaxes(title="images of a patient", type="category")
    figure.update_yaxes(title="patients")
    charts.draw(figure, "dataset_images_each", 260)


def _draw_co_occurrence(rows: Sequence[Row]) -> None:
    st.subheader("Findings that stand together", anchor=False)
    share = st.toggle("As a share of the row's finding", key="dataset_share", persist_state="session")
    table = co_occurrence(rows, share=share)
    if len(table) < 2:
        st.info("Fewer than two findings are stated in these images.")
        return
    label = "share" if share else "images"
    figure = charts.heat_map(tuple(table.index), tuple(table.columns), table.values.tolist(), label)
    charts.draw(figure, "dataset_co_occurrence", 160 + CELL_PX * len(table))
    said = "Of the images that state the finding of the row, the share that also states that of the column."
    st.caption(said if share else "Images that state both; on the diagonal, all that state the finding.")
