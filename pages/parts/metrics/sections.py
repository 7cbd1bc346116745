"""The questions of a record one below the other: tiles of the main measures, figures, tables, and every number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from pages.parts.charts import draw
from pages.parts.measured import draw_tiles
from pages.parts.metrics.figures import Figures, figures_of
from pages.parts.record.table import draw_table
from pages.parts.services import plain
from xray_generator.dashboards.board import first_columns, headline
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.records import Measurement, Record
from xray_generator.evaluation.summary import BETTER, GROUPS, known_measure

HEADLINES = {
    "realism": ("frechet_ratio", "kernel_distance", "precision", "detectability"),
    "detail": ("sharpness_ratio", "spectral_distance", "contrast_ratio", "snr_ratio"),
    "diversity": ("recall", "coverage", "ms_ssim"),
    "prompts": (),  # one number for each finding: bars
    "copies": ("copy_rate", "authenticity", "nearest_distance_ratio", "copies_found"),
    "use": ("utility_ratio", "utility_synthetic", "utility_both", "utility_shuffled"),
    "reconstruction": ("psnr", "ssim", "mse"),
    "speed": ("latency_ms", "images_per_second", "peak_memory_mb", "parameters"),
}
TABLES = {
    "prompts": {"confusion": "How the classifier calls each image, against the prompt or the known label"},
    "copies": {"closest_pairs": "The generated images nearest to a training image"},
    "speed": {
        "components": "Components",
        "attention": "Where the model attends",
        "layers": "Layers",
    },
}
SETTINGS = {"settings": "What do guidance and steps change?", "other": "Other curves"}
GALLERY = "closest_pairs"  # the figure that shows pixels, which no number can
GALLERY_HELP = "Left the generated image, right the training image that it is nearest to."


def draw_sections(record: Record, figures: dict[str, Path]) -> None:
    """Draw every question of a record; `figures` are the stored ones."""
    for group, question in GROUPS.items():
        _draw_question(record, group, question, figures)
    for group, question in SETTINGS.items():
        drawn = figures_of(record, group)
        if drawn or group == "settings":
            st.subheader(question, anchor=False)
        if not drawn and group == "settings":
            st.caption("Not measured: this record holds no sweep; the full suite makes them.")
        _draw_figures(drawn, group)


def _draw_question(record: Record, group: str, question: str, figures: dict[str, Path]) -> None:
    found = [m for m in record.measurements if known_measure(m).group == group]
    _draw_heading(question, [*HEADLINES[group], *(m.measure for m in found)])
    if found:
        draw_tiles(_headlines(record, HEADLINES[group]))
    else:
        st.caption(plain(f"Not measured: {_absent(record)}"))
    if group == "prompts":
        _draw_unjudged(record)
    _draw_figures(figures_of(record, group), group)
    if group == "copies" and GALLERY in figures:
        st.caption(GALLERY_HELP)
        st.image(str(figures[GALLERY]), width="stretch", alt="Pairs of a generated and a training image")
    _draw_tables(record, group)
    if found:
        with st.expander(f"All {len(found)} numbers"):
            draw_table(found, f"metrics_numbers {group}")


def _headlines(record: Record, measures: Sequence[str]) -> list[Measurement]:
    """The main numbers, each in the first space that has it; a reason where the record does not hold one."""
    values = headline(record)
    found = {column.measure: values[column] for column in first_columns([record], measures)}
    return [found.get(name) or Measurement(name, None, reason=_absent(record)) for name in measures]


def _absent(record: Record) -> str:
    return f"this record of the {record.suite} suite does not hold it."


def _draw_heading(question: str, measures: Sequence[str]) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.subheader(question, anchor=False, width="content")
        with st.popover("How to read this", width="content"):
            for name in dict.fromkeys(measures):
                if name in MEASURES:
                    measure = MEASURES[name]
                    better = BETTER[measure.direction].capitalize()
                    st.markdown(f"**{plain(measure.title)}**: {plain(measure.help)} *{plain(better)}.*")


def _draw_unjudged(record: Record) -> None:
    """Count the labels, not the numbers: each label has several, and a sweep has them all again."""
    found = [m for m in headline(record).values() if known_measure(m).group == "prompts"]
    judged = {m.condition for m in found if m.value is not None}
    if missing := {m.condition for m in found} - judged:
        st.caption(
            f"Labels judged: {len(judged)}; not judged: {len(missing)}, for reasons that stand among all numbers."
        )


def _draw_figures(figures: Figures, group: str) -> None:
    if not figures:
        return
    grid = st.grid(2, min_column_width=320)
    for title, figure in figures.items():
        with grid.cell():
            st.markdown(f"**{plain(title)}**")
            draw(figure, f"metrics {group} {title}", height=280)


def _draw_tables(record: Record, group: str) -> None:
    for name, title in TABLES.get(group, {}).items():
        if rows := record.tables.get(name):
            with st.expander(f"{title} ({len(rows)})"):
                st.dataframe(list(rows), hide_index=True, width="stretch", key=f"metrics_table {name}")
