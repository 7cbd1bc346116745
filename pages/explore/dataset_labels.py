"""What the images of a dataset show and of whom: classes or findings, views, sexes, ages, patients and splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.explore.dataset_images import Explored
from pages.kit import charts
from xray_generator.data.exploration import (
    NOT_KNOWN,
    Patients,
    co_occurrence,
    count_ages,
    count_facts,
    count_findings,
    count_patients,
    cross_count,
    known_facts,
)
from xray_generator.data.rows import SEX_NAMES, Row, finding_name


@st.fragment
def draw_labels(rows: Sequence[Row], explored: Explored) -> None:
    """Draw the counts; what is known of no image has no chart."""
    patients = count_patients(rows)
    _draw_tiles(rows, patients)
    if explored.dataset.is_loose:
        st.info("These images came without a table, so there are no findings, views or patients to count.")
        return
    facts = known_facts(rows)
    if "label" in facts:
        _draw_classes(rows, explored.classes)
    counts = count_findings(rows).rename(index=finding_name)
    if not counts.empty:
        _draw_findings(counts)
    _draw_people(rows, facts)
    splits, images = st.columns(2)
    with splits:
        st.subheader("Split and source", anchor=False)
        table = cross_count(rows, "source", "split").rename_axis("Source").reset_index()
        st.dataframe(table, hide_index=True, key="dataset_split_table")
    if patients.images_each:
        with images:
            _draw_bars(
                "Images per patient", _columns(patients.images_each, "images", "patients"), "dataset_images_each"
            )
    if not counts.empty:
        _draw_co_occurrence(rows)


def _draw_tiles(rows: Sequence[Row], patients: Patients) -> None:
    tiles = {"Images": f"{len(rows):,}"}
    if patients.num_patients:
        tiles |= {
            "Patients": f"{patients.num_patients:,}",
            "Images per patient, median": f"{patients.median:g}",
            "Images per patient, maximum": f"{patients.most:,}",
            "Images without a patient": f"{patients.num_without_id:,}",
            "Patients in several splits": f"{patients.in_several_splits:,}",
        }
    grid = st.grid(len(tiles), min_column_width=130)
    for name, value in tiles.items():
        with grid.cell():
            st.metric(name, value)
    if not patients.num_patients:
        st.caption("No image names its patient, so it cannot be checked whether a patient is in several splits.")


def _draw_classes(rows: Sequence[Row], classes: Mapping[str, str]) -> None:
    """Draw the images of each class, and of each class in each split."""
    st.subheader("Classes", anchor=False)
    counts = {classes.get(label, label): number for label, number in count_facts(rows, "label").items()}
    chart, table = st.columns([3, 2], gap="medium")
    with chart:
        charts.draw(charts.counts(counts, "images"), "dataset_classes", 90 + 34 * len(counts))
    with table:
        splits = cross_count(rows, "label", "split").rename(index=dict(classes)).rename_axis("Class").reset_index()
        st.dataframe(splits, hide_index=True, key="dataset_class_table", height="content")
        st.caption("Every image is of one class.")


def _draw_people(rows: Sequence[Row], facts: Sequence[str]) -> None:
    """Draw views, sexes and ages, as far as they are known."""
    sexes = {SEX_NAMES.get(sex, sex): number for sex, number in count_facts(rows, "sex").items()}
    by_age = count_ages(rows)
    unknown = by_age.pop(NOT_KNOWN, 0)
    figures = {
        "View": charts.counts(count_facts(rows, "view"), "images") if "view" in facts else None,
        "Sex": charts.counts(sexes, "images") if "sex" in facts else None,
        "Age in years": _columns(by_age, "", "images") if by_age else None,
    }
    shown = {title: figure for title, figure in figures.items() if figure is not None}
    for column, (title, figure) in zip(st.columns(3)[: len(shown)], shown.items(), strict=True):
        with column:
            _draw_bars(title, figure, f"dataset_{title}")
            if title == "Age in years":
                st.caption(f"{unknown:,} of {len(rows):,} images have no age.")


def _draw_findings(counts: pd.DataFrame) -> None:
    st.subheader("Findings", anchor=False)
    chart, table = st.columns([3, 2], gap="medium")
    with chart:
        present = charts.counts(counts.present.to_dict(), "images")
        charts.draw(present, "dataset_findings", 90 + 34 * len(counts))
    with table:
        shown = counts.rename(columns=str.capitalize).rename_axis("Finding").reset_index()
        st.dataframe(shown, hide_index=True, key="dataset_finding_table", height="content")
        st.caption("Absent: ruled out by the report. Unknown: not mentioned. An image may have several findings.")


def _columns(numbers: dict[str, int] | dict[int, int], x_title: str, y_title: str) -> go.Figure:
    """Vertical bars."""
    figure = go.Figure(go.Bar(x=list(numbers), y=list(numbers.values()), marker_color=charts.REAL))
    figure.update_xaxes(title=x_title or None, type="category")
    figure.update_yaxes(title=y_title)
    return figure


def _draw_bars(title: str, figure: go.Figure, key: str) -> None:
    st.subheader(title, anchor=False)
    charts.draw(figure, key, 260)


def _draw_co_occurrence(rows: Sequence[Row]) -> None:
    st.subheader("Findings that occur together", anchor=False)
    share = st.toggle("As a share of the row's finding", key="dataset_share", persist_state="session")
    table = co_occurrence(rows, share=share)
    if len(table) < 2:
        st.info("Fewer than two findings are stated in these images.")
        return
    label = "share" if share else "images"
    figure = charts.heat_map(tuple(table.index), tuple(table.columns), table.values.tolist(), label)
    charts.draw(figure, "dataset_co_occurrence", 160 + 26 * len(table))
    of_share = "Of the images with the row's finding, the share that also has the column's finding."
    st.caption(of_share if share else "Images with both findings; on the diagonal, all images with the finding.")
