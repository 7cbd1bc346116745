"""What a blind reader study found, for whoever has judged all its images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import streamlit as st

from pages.kit import charts
from pages.kit.services import escape_markdown, studio
from pages.measure.readers_reading import CHECKLIST
from xray_generator.dashboards.prompts import condition_title
from xray_generator.data.naming import plain
from xray_generator.evaluation.reader_agreement import Figure
from xray_generator.evaluation.records import Curve
from xray_generator.evaluation.summary import NOT_MEASURED
from xray_generator.experiments.reader_results import ReaderResult, Results, find_results, to_csv, to_json
from xray_generator.experiments.reader_study import Study, read_blind
from xray_generator.experiments.readings import Reading

CHANCE = 0.5
TILE_PX = 110
EXPORTS = {"Answers as CSV": (to_csv, "csv", "text/csv"), "All as JSON": (to_json, "json", "application/json")}


def draw_results(root: Path, study: Study, readings: Sequence[Reading]) -> None:
    """Draw the results of the readers who are through, and what each image is."""
    over = tuple(reading for reading in readings if reading.is_over)
    results = _find(study, over)
    if results is None:
        return
    first = results.readers[0]
    st.markdown(f"**{describe_verdict(first)}**")
    _draw_readers(results)
    left, right = st.columns(2, gap="medium")
    with left:
        _draw_roc(results.readers, study)
    with right:
        _draw_agreements(results, len(over))
        _draw_checklist(results, len(over))
    _draw_conditions(results, study)
    _draw_exports(study, over)
    if st.toggle("Show every image and what it is", key="readers_truth"):
        _draw_truth(root, study)


def describe_verdict(result: ReaderResult) -> str:
    """Whether readers can tell the images apart, in a sentence."""
    accuracy = result.accuracy
    words = f"{accuracy.n:,} answers, {describe(accuracy)} right; guessing gives {CHANCE:.0%}."
    if accuracy.interval is None or accuracy.value is None:
        return words
    low, high = accuracy.interval
    if low > CHANCE:
        return f"{words} The images can be told apart."
    if high < CHANCE:
        return f"{words} Synthetic images pass for real ones, and real ones for synthetic."
    return f"{words} That is within chance: these answers do not show that the images can be told apart."


def describe(figure: Figure, style: str = ".0%") -> str:
    """A number with its interval: "62 % (52 % to 71 %)"."""
    if figure.value is None:
        return NOT_MEASURED
    value = format(figure.value, style)
    if figure.interval is None:
        return value
    return f"{value} ({' to '.join(format(end, style) for end in figure.interval)})"


def _draw_readers(results: Results) -> None:
    rows = [
        {
            "Reader": one.reader,
            "Answers": one.accuracy.n,
            "Right": describe(one.accuracy),
            "Synthetic ones recognized": describe(one.generated_seen),
            "Real ones recognized": describe(one.real_seen),
            "Area under the ROC": describe(one.area, ".2f"),
            **{f"{plain(name)} (1 to 5)": describe(figure, ".1f") for name, figure in one.ratings.items()},
        }
        for one in results.readers
    ]
    st.dataframe(rows, hide_index=True, width="stretch")
    st.caption("In brackets: 95 % interval, over images.")


def _draw_roc(readers: Sequence[ReaderResult], study: Study) -> None:
    names = [one.reader for one in readers]
    st.markdown("**Confidence**")
    name = st.selectbox("ROC of", names, key=f"readers_roc {study.id}") if len(names) > 1 else names[0]
    roc = next(one.roc for one in readers if one.reader == name)
    if not roc:
        st.caption(f"ROC: {NOT_MEASURED}.")
        return
    x = tuple(point[0] for point in roc)
    lines: dict[str, tuple[float | None, ...]] = {name: tuple(point[1] for point in roc), "guessing": x}
    curve = Curve("ROC", "share of real images called synthetic", "share of synthetic images called so", x, lines)
    charts.draw(charts.lines(curve), "readers_roc")
    st.caption("From the surest “synthetic” to the surest “real”, each level of confidence is a point.")


def _draw_agreements(results: Results, num_readers: int) -> None:
    st.markdown("**Agreement of readers**")
    if num_readers < 2:
        st.caption("Cohen's kappa needs a second reader.")
        return
    rows = [
        {"Readers": " and ".join(one.readers), "Cohen's kappa": describe(one.kappa, ".2f"), "Images": one.kappa.n}
        for one in results.agreements
    ]
    st.dataframe(rows, hide_index=True, width="stretch")
    st.caption("0: as often as by chance. 1: always.")


def _draw_checklist(results: Results, num_readers: int) -> None:
    st.markdown("**Both sets as a whole**")
    rows = [
        {"Criterion": CHECKLIST[name][0], "Real": f"{means['real']:.1f}", "Synthetic": f"{means['generated']:.1f}"}
        for name, means in results.checklist.items()
    ]
    st.dataframe(rows, hide_index=True, width="stretch")
    st.caption(f"1 to 5, more is better; mean over readers, n = {num_readers:,}.")


def _draw_conditions(results: Results, study: Study) -> None:
    if not results.conditions:
        return
    titles = studio().class_titles(study.checkpoint.full_name)
    st.markdown("**By what the images show**")
    rows = [
        {"Condition": condition_title(name, classes=titles), "Answers": one.n, "Right": describe(one)}
        for name, one in results.conditions.items()
    ]
    st.dataframe(rows, hide_index=True, width="stretch")


def _draw_exports(study: Study, readings: tuple[Reading, ...]) -> None:
    name = f"reader_study_{study.checkpoint.name}_{study.id}"
    with st.container(horizontal=True):
        for label, (write, ending, kind) in EXPORTS.items():
            data = partial(write, study, readings)
            st.download_button(label, data, f"{name}.{ending}", kind, key=f"readers_{ending}", on_click="ignore")


def _draw_truth(root: Path, study: Study) -> None:
    titles = studio().class_titles(study.checkpoint.full_name)
    grid = st.grid(8, min_column_width=TILE_PX)
    for place, item in enumerate(study.items):
        kind = "Synthetic" if item.is_generated else "Real"
        words = ", ".join(condition_title(name, classes=titles) for name in item.conditions)
        with grid.cell():
            st.image(read_blind(root, study, place), kind, "stretch", output_format="PNG", alt=f"{kind}: {words}")
            st.caption(escape_markdown(f"{words or 'nothing else is known'}. {item.origin}"))


@st.cache_data(max_entries=4, show_spinner="Comparing the answers", hash_funcs={Study: lambda one: one.id})
def _find(study: Study, readings: tuple[Reading, ...]) -> Results | None:
    return find_results(study, readings)
