"""What is wrong with a dataset: unreadable images, duplicates, patients in several splits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from pages.explore.dataset_images import Explored, confirm
from pages.kit.services import count_text
from xray_generator.data.exploration import fingerprint, health_json, relative_name
from xray_generator.data.health import HealthReport, Kind, check_health
from xray_generator.data.rows import Dataset, Row

MOST_SHOWN = 500  # issues in the table
KINDS: dict[Kind, tuple[str, str]] = {  # kind -> title, advice
    "unreadable": ("Images that cannot be read", "Repair or remove the files."),
    "constant": ("Images of a single gray level", "Remove them: they show nothing."),
    "doubtful": (
        "Images that may look wrong",
        "Look at them: their values do not fill the range, or the file says more.",
    ),
    "duplicate_across_splits": (
        "Identical pixels in several splits",
        "Keep one: otherwise the model is tested on images that it was trained on.",
    ),
    "near_duplicate_across_splits": (
        "Nearly identical images in several splits",
        "Look at both, and put them into one split.",
    ),
    "patient_in_several_splits": (
        "Patients in several splits",
        "Put all images of a patient into one split: otherwise the tests are too easy.",
    ),
    "duplicate": ("Identical pixels within a split", "Remove the copies: they count twice."),
    "near_duplicate": ("Nearly identical images within a split", "Often two exposures of one patient. Look at both."),
    "no_prompt": ("Images without a prompt", "A text-conditioned model cannot be trained on them."),
    "left_out": ("Left out when the dataset was read", "See the reasons below."),
}


@st.fragment
def draw_health(_rows: Sequence[Row], explored: Explored) -> None:
    """Check the whole dataset, whatever the filters are."""
    n = len(explored.dataset.rows)
    st.caption("Checks the whole dataset, regardless of filters: every image is read and compared with every other.")
    if not confirm(f"Check all {n:,} images", "dataset_check", fingerprint(explored.dataset.rows), n):
        st.caption("10,000 images take about 15 seconds on two cores.")
        return
    report = _check(explored.dataset)
    if report.issues:
        _draw_issues(report, explored)
    else:
        st.success(
            f"No issues in {report.num_images:,} images: all are readable, none is a copy of another, and no patient "
            "is in several splits."
        )
    if explored.dataset.is_loose:
        st.caption("Without a table there are no splits, patients or prompts to check.")
    st.download_button(
        "Report as JSON",
        partial(health_json, report, explored.folder),
        f"{explored.name}_health.json",
        "application/json",
        key="dataset_health_json",
        on_click="ignore",
    )


@st.cache_data(
    max_entries=4,
    show_spinner="Reading and comparing every image",
    show_time=True,
    scope="session",
    hash_funcs={Dataset: lambda dataset: (fingerprint(dataset.rows), dataset.skipped)},
)
def _check(dataset: Dataset) -> HealthReport:
    return check_health(dataset)


def _draw_issues(report: HealthReport, explored: Explored) -> None:
    counts = report.counts()
    st.markdown(f"**{count_text(len(report.issues), 'issue')} in {count_text(report.num_images, 'image')}**")
    for kind, (title, advice) in KINDS.items():
        if counts.get(kind):
            st.markdown(f"- **{counts[kind]:,}** · {title}. {advice}")
    passed = [title[0].lower() + title[1:] for kind, (title, _) in KINDS.items() if not counts.get(kind)]
    if passed:
        st.caption(f"Not found: {'; '.join(passed)}.")
    shown = report.issues[:MOST_SHOWN]
    st.dataframe(
        {
            "Issue": [KINDS[issue.kind][0] for issue in shown],
            "Details": [issue.message for issue in shown],
            "Files": [", ".join(relative_name(path, explored.folder) for path in issue.paths) for issue in shown],
        },
        hide_index=True,
        key="dataset_issues",
    )
    if len(shown) < len(report.issues):
        st.caption(f"Showing {len(shown):,} of {len(report.issues):,} issues; the JSON file holds all.")
