"""What is wrong with a dataset, in words: broken images, copies, patients in several splits."""

from __future__ import annotations

import streamlit as st

from pages.parts.dataset.request import is_asked
from pages.parts.dataset.source import Explored
from xray_generator.data.exploration import fingerprint, health_json, relative_name
from xray_generator.data.health import HealthReport, Kind, check_health
from xray_generator.data.rows import Dataset

MOST_SHOWN = 500  # issues in the table
MEANING: dict[Kind, tuple[str, str]] = {
    "unreadable": ("Images that cannot be read", "Repair or remove the files."),
    "constant": ("Images of one gray level", "Remove them: there is nothing to see."),
    "duplicate_across_splits": (
        "The same pixels in several splits",
        "Keep one: a model is tested on what it was trained with.",
    ),
    "near_duplicate_across_splits": ("Nearly the same image in several splits", "Look at both and keep one split."),
    "patient_in_several_splits": (
        "Patients in several splits",
        "Give all images of a patient one split: else tests are too easy.",
    ),
    "duplicate": ("The same pixels twice in one split", "Remove the copies: they count twice."),
    "near_duplicate": ("Nearly the same image in one split", "Often two exposures of one patient; look at both."),
    "no_prompt": ("Images without a prompt", "A text-conditioned model cannot learn from them."),
    "left_out": ("Left out when the dataset was read", "See the reasons below."),
}


def draw_health(explored: Explored) -> None:
    """Check the whole dataset, whatever the filters are."""
    n = len(explored.dataset.rows)
    st.caption("The whole dataset, whatever is filtered. Every image is read and compared with every other.")
    key = fingerprint(explored.dataset.rows)
    if not is_asked(f"Check all {n:,} images", "dataset_check", key, n):
        st.caption("Some 10,000 images take about a quarter of a minute on two cores.")
        return
    report = _check(f"{key} {explored.dataset.skipped}", explored.dataset)
    _draw_report(report, explored)
    st.download_button(
        "Report as JSON",
        health_json(report, explored.folder),
        f"{explored.name}_health.json",
        "application/json",
        key="dataset_health_json",
        on_click="ignore",
    )


@st.cache_data(max_entries=4, show_spinner="Reading and comparing every image", show_time=True, scope="session")
def _check(key: str, _dataset: Dataset) -> HealthReport:  # noqa: ARG001 - the key stands for the dataset
    return check_health(_dataset)


def _draw_report(report: HealthReport, explored: Explored) -> None:
    counts = report.counts()
    if not counts:
        st.success(
            f"Nothing was found in {report.num_images:,} images: all can be read, none is a copy of another, "
            "no patient stands in several splits, and each has a prompt."
        )
        return
    st.markdown(f"**{report.num_images:,} images, {len(report.issues):,} things to look at**")
    for kind, (title, advice) in MEANING.items():
        if counts.get(kind):
            st.markdown(f"- **{counts[kind]:,}** · {title}. {advice}")
    fine = [title[0].lower() + title[1:] for kind, (title, _) in MEANING.items() if not counts.get(kind)]
    if fine:
        st.caption(f"Not found: {'; '.join(fine)}.")
    if not explored.has_table:
        st.caption("Images without a table have no splits, patients or prompts to check.")
    shown = report.issues[:MOST_SHOWN]
    st.dataframe(
        {
            "What": [MEANING[issue.kind][0] for issue in shown],
            "Details": [issue.message for issue in shown],
            "Files": [", ".join(relative_name(path, explored.folder) for path in issue.paths) for issue in shown],
        },
        hide_index=True,
        key="dataset_issues",
    )
    if len(shown) < len(report.issues):
        st.caption(f"The first {len(shown):,} of {len(report.issues):,}; the JSON file holds all.")
