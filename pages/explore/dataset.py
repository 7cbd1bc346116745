"""Dataset explorer: look through a dataset of real images before a model is trained on it."""

from __future__ import annotations

from collections.abc import Container, Sequence

import plotly.graph_objects as go
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from pages.explore.dataset_health import draw_health
from pages.explore.dataset_images import (
    FACT_NAMES,
    Explored,
    draw_browse,
    draw_map,
    draw_statistics,
)
from pages.kit import charts
from pages.kit.services import count_text, default_dataset, default_folder, escape_markdown
from xray_generator.data.exploration import (
    FACTS,
    MAX_QUERY_CHARACTERS,
    NOT_KNOWN,
    Filters,
    co_occurrence,
    count_ages,
    count_facts,
    count_findings,
    count_patients,
    cross_count,
    filter_rows,
    to_csv,
)
from xray_generator.data.rows import SEX_NAMES, Dataset, Row, class_names, finding_name
from xray_generator.data.uploads import MAX_UPLOAD_MB, NamedBytes, Upload, receive
from xray_generator.types import StudioError


def main() -> None:
    """Draw the page: the dataset, its filters, and tabs on the images that pass them."""
    try:
        explored = _pick_dataset()
    except (StudioError, OSError) as error:
        st.error(escape_markdown(error))
        return
    if explored is None:
        return
    rows = _draw_filters(explored)
    tabs = {
        "Browse": draw_browse,
        "Labels and people": _draw_labels,
        "Image statistics": draw_statistics,
        "Health": draw_health,
        "Map": draw_map,
    }
    for draw, tab in zip(tabs.values(), st.tabs(list(tabs), key="dataset_tab", on_change="rerun"), strict=True):
        with tab:
            if tab.open and (rows or draw is draw_health):
                draw(rows, explored)
            elif tab.open:
                st.info("No image matches these filters. Clear them or choose fewer.")


# The dataset: this server's, or a visitor's upload that only the session sees

UPLOAD, FAULT, HAS_NEW = "dataset_upload", "dataset_fault", "dataset_has_new"
DEFAULT, OWN = "This server's", "Your upload"
UPLOAD_HELP = (
    "Image files (PNG, JPEG, TIFF, DICOM), or one ZIP: of images only, of one folder per class, of a captioned or"
    " labeled pack (metadata.csv and images/), or in the Indiana layout (indiana_reports.csv, indiana_projections.csv and"
    " images/). Files are kept for this session only, and deleted when you replace them or leave."
)


def _pick_dataset() -> Explored | None:
    """Draw the choice; None until there is a dataset. StudioError if the server's cannot be read."""
    kind_key = "dataset_kind"
    st.session_state.setdefault(kind_key, DEFAULT)
    is_own = st.session_state[kind_key] == OWN
    choice, field = st.columns([1, 3], vertical_alignment="top" if is_own else "bottom")
    kind = choice.segmented_control("Dataset", (DEFAULT, OWN), required=True, key=kind_key, persist_state="session")
    with field:
        explored = _open_default() if kind == DEFAULT else _draw_upload()
    if explored is not None and (skipped := explored.dataset.skipped):
        with st.expander(f"Left out while reading, with reasons ({len(skipped):,})"):
            for line in skipped:
                st.text(line)
    return explored


def _open_default() -> Explored:
    folder = default_folder()
    try:
        dataset = default_dataset()
    except StudioError as error:
        hint = "Set DATASET_PATH to the folder of a dataset and restart the server, or choose Your upload."
        raise StudioError(f"{error} {hint}") from error
    facts = [f"{len(dataset.rows):,} images", *sorted({row.source for row in dataset.rows if row.source})]
    st.caption(escape_markdown(f"{folder.name} · {' · '.join(facts)}"))
    return Explored("server", folder.name, folder, dataset)


def _draw_upload() -> Explored | None:
    files = st.file_uploader(
        f"Several images, or one ZIP; up to {MAX_UPLOAD_MB} MB each",
        key="dataset_files",
        accept_multiple_files=True,
        max_upload_size=MAX_UPLOAD_MB,
        on_change=st.session_state.__setitem__,  # leaving the page empties the field, too, but does not call this
        args=(HAS_NEW, True),
        help=UPLOAD_HELP,
    )
    if st.session_state.pop(HAS_NEW, False):
        _receive(files)
    if fault := st.session_state.get(FAULT):
        st.error(escape_markdown(fault))
    upload: Upload | None = st.session_state.get(UPLOAD)
    if upload is None:
        if not fault:
            st.info("Choose image files or one ZIP.")
        return None
    st.caption(escape_markdown(f"{count_text(len(upload.dataset.rows), 'image')} {_describe_kind(upload.dataset)}"))
    key = upload.folder.path.name.encode().hex()  # a component's key allows few characters
    return Explored(key, "upload", upload.root, upload.dataset)


def _describe_kind(dataset: Dataset) -> str:
    """What is known about the images of an upload."""
    if dataset.is_loose:
        return "without a table: labels, splits and patients are unknown"
    classes = class_names(dataset.rows)
    return f"of {len(classes)} classes: {', '.join(map(finding_name, classes))}" if classes else "with a table"


def _receive(files: list[UploadedFile]) -> None:
    """Replace the upload of this session, and delete the folder of the one before."""
    before: Upload | None = st.session_state.pop(UPLOAD, None)
    st.session_state.pop(FAULT, None)
    if before is not None:
        before.folder.close()
    if files:
        try:
            with st.spinner("Unpacking and reading the images"):
                st.session_state[UPLOAD] = receive([NamedBytes(file.name, file.getvalue()) for file in files])
        except StudioError as error:
            st.session_state[FAULT] = str(error)


# Filters

ANY, WITH, WITHOUT = "any", "with a report", "without a report"
REPORTS = {ANY: None, WITH: True, WITHOUT: False}
SEARCH_HELP = (
    "Finds images whose prompt and report contain all words. A word also matches longer words that begin with it:"
    ' pneumo finds pneumonia and pneumothorax. Put "quotes" around words to find them in this order. Case is ignored.'
)


def _draw_filters(explored: Explored) -> tuple[Row, ...]:
    """Draw the fields and the number of matching images; return their rows."""
    rows = explored.dataset.rows
    search, findings, more = st.columns([3, 3, 1.2], vertical_alignment="bottom")
    query = search.text_input(
        "Search",
        key=_key(explored, "query"),
        max_chars=MAX_QUERY_CHARACTERS,
        help=SEARCH_HELP,
        placeholder='effusion "AP chest"',
        persist_state="session",
    )
    counts = count_findings(rows).query("present > 0").present.to_dict()
    _drop_unknown(_key(explored, "findings"), counts)
    chosen = findings.multiselect(
        "Finding",
        list(counts),
        format_func=lambda name: f"{finding_name(name)} ({counts[name]:,})",
        key=_key(explored, "findings"),
        placeholder="any",
        disabled=not counts,
        persist_state="session",
    )
    with more.popover("More filters", width="stretch"):
        filters = _draw_more_filters(explored, query, tuple(chosen))
    kept = filter_rows(rows, filters)
    with st.container(horizontal=True, vertical_alignment="center", key="dataset_count"):
        st.markdown(f"**{len(kept):,} of {len(rows):,} images**", width="content")
        if filters.count:
            st.caption(escape_markdown(_describe(filters)), width="content")
            st.button("Clear filters", key="dataset_clear", type="tertiary", on_click=_clear, args=(explored,))
        st.space("stretch")
        st.download_button(
            "Rows as CSV",
            lambda: to_csv(kept, explored.folder).encode(),
            f"{explored.name}_rows.csv",
            "text/csv",
            key="dataset_csv",
            on_click="ignore",
            disabled=not kept,
        )
    return kept


def _draw_more_filters(explored: Explored, query: str, findings: tuple[str, ...]) -> Filters:
    rows = explored.dataset.rows
    every = st.toggle(
        "Require all chosen findings",
        key=_key(explored, "every"),
        disabled=len(findings) < 2,
        persist_state="session",
    )
    facts = {name: _pick_values(explored, name) for name in FACTS}
    ages = _pick_ages(explored)
    has_reports = {bool(row.report.strip()) for row in rows}
    report = st.selectbox(
        "Report",
        list(REPORTS),
        key=_key(explored, "report"),
        disabled=len(has_reports) < 2,
        persist_state="session",
        help="" if len(has_reports) > 1 else f"Every image here is {WITH if True in has_reports else WITHOUT}.",
    )
    return Filters(**facts, findings=findings, all_findings=every, ages=ages, has_report=REPORTS[report], query=query)


def _pick_values(explored: Explored, name: str) -> tuple[str, ...]:
    counts = count_facts(explored.dataset.rows, name)
    values = {"" if value == NOT_KNOWN else value: number for value, number in counts.items()}
    _drop_unknown(_key(explored, name), values)
    return tuple(
        st.multiselect(
            FACT_NAMES[name],
            list(values),
            format_func=lambda value: f"{value or NOT_KNOWN} ({values[value]:,})",
            key=_key(explored, name),
            placeholder="any",
            disabled=len(values) < 2,
            persist_state="session",
        )
    )


def _pick_ages(explored: Explored) -> tuple[int, int] | None:
    known = [row.age for row in explored.dataset.rows if row.age is not None]
    low, high = min(known, default=0), max(known, default=0)
    if low == high:
        st.caption("Age: no range to choose from.")
        return None
    key = _key(explored, "ages")
    youngest, oldest = st.session_state.get(key, (low, high))
    st.session_state[key] = max(low, min(youngest, high)), min(high, max(oldest, low))
    ages: tuple[int, int] = st.slider(
        "Age in years",
        low,
        high,
        key=key,
        persist_state="session",
        help="A narrower range leaves out images of unknown age.",
    )  # type: ignore[assignment]
    return None if ages == (low, high) else ages


def _describe(filters: Filters) -> str:
    """The active filters in one line."""
    parts = [f"search {filters.query.strip()}"] if filters.query.strip() else []
    if filters.findings:
        parts.append((" and " if filters.all_findings else " or ").join(map(finding_name, filters.findings)))
    facts = {FACT_NAMES[name].lower(): getattr(filters, name) for name in FACTS}
    parts += [f"{name} {' or '.join(v or NOT_KNOWN for v in values)}" for name, values in facts.items() if values]
    if filters.ages:
        parts.append(f"{filters.ages[0]} to {filters.ages[1]} years")
    if filters.has_report is not None:
        parts.append(WITH if filters.has_report else WITHOUT)
    return " · ".join(parts)


def _clear(explored: Explored) -> None:
    empty = {"query": "", "findings": [], "every": False, "report": ANY, **{name: [] for name in FACTS}}
    for name, value in empty.items():
        st.session_state[_key(explored, name)] = value
    st.session_state.pop(_key(explored, "ages"), None)


def _drop_unknown(key: str, options: Container[str]) -> None:
    """Drop choices that the table no longer has after it was written anew."""
    if chosen := st.session_state.get(key):
        st.session_state[key] = [value for value in chosen if value in options]


def _key(explored: Explored, name: str) -> str:
    return f"dataset_{explored.key}_{name}"


# Labels and people


@st.fragment
def _draw_labels(rows: Sequence[Row], explored: Explored) -> None:
    patients = count_patients(rows)
    tiles = {
        "Images": f"{len(rows):,}",
        "Patients": f"{patients.num_patients:,}" if patients.num_patients else NOT_KNOWN,
        "Images per patient, median": NOT_KNOWN if patients.median is None else f"{patients.median:g}",
        "Images per patient, maximum": NOT_KNOWN if patients.most is None else f"{patients.most:,}",
        "Images without a patient": f"{patients.num_without_id:,}",
        "Patients in several splits": f"{patients.in_several_splits:,}" if patients.num_patients else NOT_KNOWN,
    }
    grid = st.grid(len(tiles), min_column_width=130)
    for name, value in tiles.items():
        with grid.cell():
            st.metric(name, value)
    if explored.dataset.is_loose:
        st.info("These images came without a table, so there are no findings, views or patients to count.")
        return
    _draw_findings(rows)
    views, sexes, ages = st.columns([1, 1, 2])
    with views:
        _draw_bars("View", charts.counts(count_facts(rows, "view"), "images"), "dataset_views")
    with sexes:
        counts = {SEX_NAMES.get(sex, sex): number for sex, number in count_facts(rows, "sex").items()}
        _draw_bars("Sex", charts.counts(counts, "images"), "dataset_sexes")
    with ages:
        by_age = count_ages(rows)
        unknown = by_age.pop(NOT_KNOWN, 0)
        _draw_bars("Age in years", _columns(by_age, "", "images"), "dataset_ages")
        st.caption(f"{unknown:,} of {len(rows):,} images have no age.")
    splits, images = st.columns(2)
    with splits:
        st.subheader("Split and source", anchor=False)
        table = cross_count(rows, "source", "split").rename_axis("Source").reset_index()
        st.dataframe(table, hide_index=True, key="dataset_split_table")
    with images:
        figure = _columns(patients.images_each, "images", "patients")
        _draw_bars("Images per patient", figure, "dataset_images_each", "No image has a patient id.")
    _draw_co_occurrence(rows)


def _draw_findings(rows: Sequence[Row]) -> None:
    st.subheader("Findings", anchor=False)
    counts = count_findings(rows).rename(index=finding_name)
    if counts.empty:
        st.info("No image has a finding that is stated or ruled out.")
        return
    chart, table = st.columns([3, 2], gap="medium")
    with chart:
        present = charts.counts(counts.present.to_dict(), "images")
        charts.draw(present, "dataset_findings", 90 + 34 * len(counts))
    with table:
        shown = counts.rename(columns=str.capitalize).rename_axis("Finding").reset_index()
        st.dataframe(shown, hide_index=True, key="dataset_finding_table", height="content")
        st.caption("Absent: ruled out by the report. Unknown: not mentioned. An image may have several findings.")


def _columns(numbers: dict[str, int] | dict[int, int], x_title: str, y_title: str) -> go.Figure | None:
    """Vertical bars; None if there are none."""
    if not numbers:
        return None
    figure = go.Figure(go.Bar(x=list(numbers), y=list(numbers.values()), marker_color=charts.REAL))
    figure.update_xaxes(title=x_title or None, type="category")
    figure.update_yaxes(title=y_title)
    return figure


def _draw_bars(title: str, figure: go.Figure | None, key: str, missing: str = "") -> None:
    st.subheader(title, anchor=False)
    if figure is not None:
        charts.draw(figure, key, 260)
    elif missing:
        st.info(missing)


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


main()
