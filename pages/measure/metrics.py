"""Metrics: what one evaluation measured, by question, with the source and age of every value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from pages.kit.charts import REAL, areas, bars, draw, label, lines
from pages.kit.facts import draw_facts, draw_tiles
from pages.kit.services import escape_markdown, explain_faults, studio
from pages.measure.records import load_board
from xray_generator.dashboards.board import Board, Entry, age, first_columns, headline
from xray_generator.dashboards.prompts import condition_title
from xray_generator.dashboards.report import interval_text, settings_text, stored_figures, zip_record
from xray_generator.dashboards.series import by_space, in_conditions
from xray_generator.dashboards.strengths import Strengths, find_points
from xray_generator.dashboards.timings import MACHINE
from xray_generator.data.naming import plain
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.records import Curve, Measurement, Record
from xray_generator.evaluation.summary import (
    BETTER,
    GROUPS,
    NOT_MEASURED,
    SUMMARY,
    TABLES,
    known_measure,
    summarize,
    value_text,
)

TABS = {  # question -> its tab
    "realism": "Realism",
    "detail": "Sharpness",
    "diversity": "Variety",
    "prompts": "Prompt or class",
    "copies": "Copies",
    "use": "Use for training",
    "structure": "Structure",
    "reconstruction": "Autoencoder",
    "speed": "Speed",
    "settings": "Guidance and steps",
    "other": "More",
}
HEADLINES = {  # question -> its tiles
    "realism": ("frechet_ratio", "kernel_distance", "precision", "detectability"),
    "detail": ("sharpness_ratio", "spectral_distance", "contrast_ratio", "snr_ratio"),
    "diversity": ("recall", "coverage", "ms_ssim"),
    "prompts": (),  # a value for each finding: bars
    "copies": ("copy_rate", "authenticity", "nearest_distance_ratio", "copies_found"),
    "use": ("utility_ratio", "utility_synthetic", "utility_both", "utility_shuffled"),
    "structure": ("linear_v_error", "latent_fragility"),
    "reconstruction": ("psnr", "ssim", "mse"),
    "speed": ("latency_ms", "images_per_second", "peak_memory_mb", "parameters"),
}
LABEL_MEASURES = ("prompt_auroc", "prompt_accuracy", "prompt_accuracy_share", "class_accuracy")
QUESTION_OF = {  # table of a record -> the question that it answers; other tables: "other"
    "enlargement": "detail",
    "confusion": "prompts",
    "class_confusion": "prompts",
    "closest_pairs": "copies",
    "ablations": "settings",
    "components": "speed",
    "attention": "speed",
    "layers": "speed",
}
QUESTIONS = {**GROUPS, "settings": "What do guidance and steps change?", "other": "Other curves and tables"}
Titles = Mapping[str, str]  # class -> its plain name
GALLERY = "closest_pairs"  # the stored figure that shows images


@explain_faults()
def main() -> None:
    """Draw the page."""
    st.caption(
        "How good is a model? One evaluation, each value beside that of equally many real images if there is one."
    )
    board = load_board()
    if not board.entries:
        return
    entry = _pick_entry(board)
    figures = stored_figures(entry, studio().figure_dir)
    checkpoint = entry.record.checkpoint
    titles = studio().class_titles(checkpoint.full_name) if checkpoint else {}
    _draw_header(entry, titles)
    _draw_downloads(entry, figures)
    _draw_questions(entry.record, figures, titles)
    _draw_missing(entry.record, titles)
    if entry.record.notes:
        with st.expander(f"Notes ({len(entry.record.notes)})"):
            for note in entry.record.notes:
                st.markdown(f"- {escape_markdown(note)}")


def _pick_entry(board: Board) -> Entry:
    """Draw the picker; the fullest record of the first checkpoint comes first, then full suites, then the newest."""
    key = "metrics_record"
    entries = {entry.path.name: entry for entry in board.entries}
    if st.session_state.get(key) not in entries:
        st.session_state.pop(key, None)

    def title(name: str) -> str:
        entry = entries[name]
        older = " · older weights" if entry.stale else ""
        return f"{entry.record.subject} · {entry.group} · {entry.record.created[:10]}{older}"

    name = st.selectbox(
        "Record",
        list(entries),
        key=key,
        format_func=title,
        persist_state="session",
        help="One run of the evaluation. The full suite has more images and more measures than the quick one.",
    )
    return entries[name]


# What was evaluated, on what, with what and when

UNKNOWN = "not recorded"
SAMPLING = {"scheduler": "{}", "num_inference_steps": "{} steps", "guidance_scale": "guidance {}"}
MACHINE_TEXTS = {"threads": "threads: {}", "torch": "torch {}"}


def _draw_header(entry: Entry, titles: Titles) -> None:
    record, settings = entry.record, entry.record.settings
    if entry.stale:
        st.warning(escape_markdown(f"{entry.stale} Evaluate again to measure the current ones."))
    checkpoint = record.checkpoint
    machine = [MACHINE_TEXTS.get(key, "{}").format(settings[key]) for key in MACHINE if key in settings]
    real = (str(settings.get("real", UNKNOWN)), f"{settings.get('split') or 'no'} split", _count(settings, "num_real"))
    sampling = [text.format(settings[key]) for key, text in SAMPLING.items() if key in settings]
    verdicts = Strengths(find_points(record, titles), record.created[:10], is_stale=False)
    st.markdown("  \n".join(map(escape_markdown, verdicts.sentences())))
    with st.expander("What was measured, on what, and when"):
        facts = {
            "Evaluated": checkpoint.full_name if checkpoint else f"{record.subject}, images of a folder",
            "Generated images": _count(settings, "num_images"),
            "Sampling": ", ".join(sampling) or UNKNOWN,
            "Real images": ", ".join(real),
            "Measured": f"{record.created[:10]}, {age(record.created)}",
            "Machine": ", ".join(machine) or UNKNOWN,
            "Code": record.commit or UNKNOWN,
            "SHA-256 of the weights": checkpoint.sha256[:12] if checkpoint else "unknown origin",
        }
        draw_facts(facts, columns=4, min_width=160)


def _count(settings: Mapping[str, object], key: str) -> str:
    value = settings.get(key)
    return f"n = {value:,}" if isinstance(value, int) else UNKNOWN


def _draw_downloads(entry: Entry, figures: Mapping[str, Path]) -> None:
    files: dict[str, tuple[str, Any, str, str]] = {  # key -> title, content, file name, MIME type
        "metrics_json": ("Record as JSON", entry.path.read_bytes, entry.path.name, "application/json"),
        "metrics_summary": ("Summary in plain words", partial(summarize, entry.record), SUMMARY, "text/markdown"),
        "metrics_zip": (
            f"All, with {len(figures)} figures" if figures else "Both as ZIP",
            partial(zip_record, entry, figures),
            f"{entry.record.name}.zip",
            "application/zip",
        ),
    }
    with st.container(horizontal=True):
        for key, file in files.items():
            st.download_button(*file, key=key, on_click="ignore")


# Questions, a tab each: tiles of the main measures, figures, tables, every value. What has no content is not drawn.


def _draw_questions(record: Record, figures: Mapping[str, Path], titles: Titles) -> None:
    key = "metrics_tab"
    tabs = {TABS[group]: group for group in QUESTIONS if _has_content(record, group, titles)}
    if st.session_state.get(key) not in tabs:
        st.session_state.pop(key, None)
    for group, tab in zip(tabs.values(), st.tabs(list(tabs), key=key, on_change="rerun") if tabs else (), strict=True):
        with tab:
            if tab.open:
                _draw_question(record, group, figures, titles)


def _has_content(record: Record, group: str, titles: Titles) -> bool:
    measured = (m for m in record.measurements if m.value is not None)
    is_measured = any(known_measure(m).group == group for m in measured)
    return is_measured or bool(_tables_of(record, group) or _figures_of(record, group, titles))


def _tables_of(record: Record, group: str) -> dict[str, Sequence[Mapping[str, Any]]]:
    """The tables of a record that answer a question, by name."""
    return {name: rows for name, rows in record.tables.items() if rows and QUESTION_OF.get(name, "other") == group}


def _draw_missing(record: Record, titles: Titles) -> None:
    """Draw what was not measured in one line, and each reason once it is asked for."""
    absent = [question for group, question in GROUPS.items() if not _has_content(record, group, titles)]
    if not _has_content(record, "settings", titles):
        absent.append(QUESTIONS["settings"])
    if absent:
        st.caption(escape_markdown(f"Not measured in this record of the {record.suite} suite: {' '.join(absent)}"))
    missing: dict[tuple[str, str], list[str]] = {}  # title and reason -> conditions
    for m in record.measurements:
        if m.value is None:
            missing.setdefault((known_measure(m).title, m.reason), []).append(condition_title(m.condition, "", titles))
    if missing:
        with st.expander(f"What could not be measured, and why ({len(missing)})"):
            table = {
                "Measure": [title for title, _ in missing],
                "Of": ["; ".join(filter(None, dict.fromkeys(names))) or "all" for names in missing.values()],
                "Reason": [reason for _, reason in missing],
            }
            st.dataframe(table, hide_index=True, width="stretch", key="metrics_missing")


def _draw_question(record: Record, group: str, figures: Mapping[str, Path], titles: Titles) -> None:
    found = [m for m in record.measurements if known_measure(m).group == group]
    names = HEADLINES.get(group, ())
    _draw_heading(QUESTIONS[group], [*names, *(m.measure for m in found)])
    values = headline(record)
    tiles = [m for column in first_columns([record], names) if (m := values[column]).value is not None]
    if tiles:
        draw_tiles(tiles)
    if group == "prompts":
        _draw_missing_labels(record)
    _draw_figures(_figures_of(record, group, titles), group)
    if group == "copies" and GALLERY in figures:
        st.caption("Left: generated image. Right: the training image closest to it.")
        st.image(str(figures[GALLERY]), width="stretch", alt="Pairs of a generated and a training image")
    for name, rows in _tables_of(record, group).items():
        with st.expander(escape_markdown(f"{TABLES.get(name) or plain(name)} ({len(rows)})")):
            st.dataframe(list(rows), hide_index=True, width="stretch", key=f"metrics_table {name}")
    if found:
        with st.expander(f"All {len(found)} values"):
            _draw_values(found, f"metrics_numbers {group}", titles)


def _draw_heading(question: str, measures: Sequence[str]) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.subheader(question, anchor=False, width="content")
        known = [name for name in dict.fromkeys(measures) if name in MEASURES]
        if known:
            with st.popover("How to read this", width="content"):
                for name in known:
                    measure = MEASURES[name]
                    better = BETTER[measure.direction].capitalize()
                    title, text = escape_markdown(measure.title), escape_markdown(measure.help)
                    st.markdown(f"**{title}**: {text} *{escape_markdown(better)}.*")


def _draw_missing_labels(record: Record) -> None:
    """Count labels and not values: a label has several, and each point of a sweep has them again."""
    found = [m for m in headline(record).values() if m.measure in LABEL_MEASURES]
    measured = {m.condition for m in found if m.value is not None}
    if missing := {m.condition for m in found} - measured:
        st.caption(f"Labels measured: {len(measured)}; not measured: {len(missing)}. The reasons are below.")


def _draw_values(measurements: Sequence[Measurement], key: str, titles: Titles) -> None:
    """Draw a table with a row for each measurement; empty columns are left out."""
    columns: dict[str, list[Any]] = {
        "Measure": [known_measure(m).title for m in measurements],
        "Of": [condition_title(m.condition, "all", titles) for m in measurements],
        "Value": [NOT_MEASURED if m.value is None else value_text(m) for m in measurements],
        "95 % interval": [interval_text(m) for m in measurements],
        "Real images": ["" if m.real is None else value_text(m, m.real) for m in measurements],
        "n": [m.n for m in measurements],
        "Real n": [m.real_n for m in measurements],
        "Better": [BETTER[known_measure(m).direction] for m in measurements],
        "Space or classifier": [m.extractor for m in measurements],
        "Split": [m.split for m in measurements],
        "Reason": [m.reason for m in measurements],
        "Settings": [settings_text(m) for m in measurements],
    }
    shown = {name: values for name, values in columns.items() if any(values)}
    st.dataframe(shown, hide_index=True, width="stretch", key=key)


def _draw_figures(figures: Mapping[str, go.Figure], group: str) -> None:
    if figures:
        grid = st.grid(2, min_column_width=320)
        for title, figure in figures.items():
            with grid.cell():
                st.markdown(f"**{escape_markdown(title)}**")
                draw(figure, f"metrics {group} {title}", height=280)


# Figures: title -> figure, of a question's curves and measures

MANY = 6  # bars from which on the marks of real images are drawn shorter
CURVES = {"spectrum": "detail", "utility": "use", "speed": "speed"}  # curve -> question
RATIOS = ("sharpness_ratio", "contrast_ratio", "brightness_ratio", "entropy_ratio", "snr_ratio")
LINE_AT_REAL = ("frechet_ratio", "prompt_accuracy_share", "utility_ratio", "sharpness_ratio")
SPACES = {"realism": ("frechet_ratio", "precision", "density", "detectability"), "diversity": ("recall", "coverage")}
CONDITIONS = {
    "realism": ("frechet_ratio", "kernel_distance"),
    "detail": ("sharpness_ratio",),
    "diversity": ("ms_ssim",),
    "prompts": (
        "prompt_accuracy",
        "prompt_auroc",
        "prompt_accuracy_share",
        "class_accuracy",
        "fact_response",
        "denied_score",
    ),
    "copies": ("copy_rate", "copies_found"),
    "use": ("utility_synthetic", "utility_ratio"),
    "structure": ("band_power",),
}


def _figures_of(record: Record, group: str, titles: Titles) -> dict[str, go.Figure]:
    """All figures of a question that have a number."""
    figures = {}
    ratios = {_title(name): m for name in RATIOS if (m := record.get(name)) is not None and m.value is not None}
    if group == "detail" and ratios:
        figures["Generated divided by real"] = _bars(ratios, "sharpness_ratio")
    for name, curve in record.curves.items():
        if _group_of(name) == group and any(value is not None for line in curve.lines.values() for value in line):
            figures[curve.title] = _curve(name, curve)
    for measure in SPACES.get(group, ()):
        spaces = by_space(record, measure)
        if len(spaces) > 1 and any(m.value is not None for m in spaces.values()):
            figure = _bars(spaces, measure)
            if measure == "frechet_ratio":
                figure.update_yaxes(type="log")
            figures[f"{MEASURES[measure].title}, in each feature space"] = figure
    for measure in CONDITIONS.get(group, ()):
        if conditions := in_conditions(record, measure, titles):
            by = "by kind of copy" if measure == "copies_found" else "by condition"
            figures[f"{MEASURES[measure].title}, {by}"] = _bars(conditions, measure)
    return figures


def _group_of(curve: str) -> str:
    """The question of a curve: "settings" for sweeps, "other" for curves of a later version."""
    if "_by_" in curve:  # over guidance or steps
        return "settings"
    return "detail" if curve.endswith("_distribution") else CURVES.get(curve, "other")


def _title(ratio: str) -> str:
    return MEASURES[ratio.removesuffix("_ratio")].title


def _curve(name: str, curve: Curve) -> go.Figure:
    curve = replace(curve, x_label=curve.x_label.replace("num inference steps", "steps"))
    if name == "spectrum":
        figure = lines(curve, log_x=True, log_y=True)
        figure.update_xaxes(dtick="D2")
        figure.update_yaxes(exponentformat="power", dtick=2)
        return figure
    if name.startswith("speed"):
        taken = {line: tuple(v and v / 1_000 for v in values) for line, values in curve.lines.items()}
        curve = replace(curve, y_label="seconds", lines=taken)
    figure = areas(curve) if name.endswith("_distribution") else lines(curve)
    if name.startswith("speed"):
        figure.update_yaxes(rangemode="tozero")
    if name.startswith(("sharpness_ratio", "prompt_fidelity")):
        figure.add_hline(1, line_color=REAL, line_dash="dot")
    return figure


def _bars(measurements: Mapping[str, Measurement], measure: str) -> go.Figure:
    named = {name.replace(", ", ",<br>"): m for name, m in measurements.items()}
    figure = bars(named, MEASURES[measure].unit)
    figure.update_layout(showlegend=any(m.real is not None for m in named.values()))
    if len(named) > MANY:
        figure.update_traces(marker_size=12, selector={"name": "real"})
    missing = {"y": 0, "yref": "paper", "yanchor": "bottom", "text": NOT_MEASURED, "textangle": -90, "showarrow": False}
    for name in (name for name, m in named.items() if m.value is None):
        figure.add_annotation(x=label(name), **missing)
    if measure in LINE_AT_REAL:
        figure.add_hline(1, line_color=REAL, line_dash="dot")
    return figure


main()
