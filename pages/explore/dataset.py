"""Dataset explorer: look through a dataset of real images before a model is trained on it.

What it shows of the images is in `dataset_images`, of their labels in `dataset_labels`, of faults in `dataset_health`.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from pages.explore.dataset_health import draw_health
from pages.explore.dataset_images import (
    FACT_NAMES,
    Explored,
    draw_browse,
    draw_statistics,
    value_name,
)
from pages.explore.dataset_labels import draw_labels
from pages.explore.dataset_map import draw_map
from pages.kit.services import (
    SHIPPED,
    count_text,
    draw_fault,
    escape_markdown,
    explain_faults,
    find_datasets,
    open_dataset,
    studio,
)
from xray_generator.dashboards.training_command import training_command
from xray_generator.data.exploration import (
    FACTS,
    MAX_QUERY_CHARACTERS,
    NOT_KNOWN,
    Filters,
    count_facts,
    count_findings,
    filter_rows,
    known_facts,
    to_csv,
)
from xray_generator.data.naming import class_titles
from xray_generator.data.places import Place
from xray_generator.data.rows import Dataset, Row, class_names, finding_name
from xray_generator.data.uploads import MAX_UPLOAD_MB, NamedBytes, Upload, receive
from xray_generator.types import StudioError


@explain_faults()
def main() -> None:
    """Draw the page: the dataset, its filters, and tabs on the images that pass them."""
    explored = _pick_dataset()
    if explored is None:
        return
    rows = _draw_filters(explored)
    tabs = {
        "Browse": draw_browse,
        "Labels and people": draw_labels,
        "Image statistics": draw_statistics,
        "Health": draw_health,
        "Map": draw_map,
        "Train on it": _draw_training,
    }
    for draw, tab in zip(tabs.values(), st.tabs(list(tabs), key="dataset_tab", on_change="rerun"), strict=True):
        with tab:
            if tab.open and (rows or draw in (draw_health, _draw_training)):
                draw(rows, explored)
            elif tab.open:
                st.info("No image matches these filters. Clear them or choose fewer.")


# The dataset: one of this server's, or a visitor's upload that only the session sees

UPLOAD, FAULT, HAS_NEW = "dataset_upload", "dataset_fault", "dataset_has_new"
DEFAULT, OWN = "Built-in data", "Your upload"
SERVER = "server"  # begins the keys of datasets of this server; those of uploads are hexadecimal
TITLES = {  # folder in SHIPPED -> title
    ".": "Chest X-rays",
    "blood_cells": "Blood cells",
    "brain_mri": "Brain MRI",
    "lung_ct": "Lung CT",
}
UPLOAD_HELP = (
    "Image files (PNG, JPEG, TIFF, DICOM), or one ZIP: of images only, of one folder per class, of a captioned or"
    " labeled pack (metadata.csv and images/), or in the Indiana layout (indiana_reports.csv, indiana_projections.csv"
    " and images/). Files are kept for this session only, and deleted when you replace them or leave."
)


def _pick_dataset() -> Explored | None:
    """Draw the choice; None until there is a dataset. StudioError if the one of this server cannot be read."""
    kind_key = "dataset_kind"
    st.session_state.setdefault(kind_key, DEFAULT)
    is_own = st.session_state[kind_key] == OWN
    choice, field = st.columns([1, 3], vertical_alignment="top" if is_own else "bottom")
    kind = choice.segmented_control("Dataset", (DEFAULT, OWN), required=True, key=kind_key, persist_state="session")
    with field:
        explored = _pick_place() if kind == DEFAULT else _draw_upload()
    if explored is not None and (skipped := explored.dataset.skipped):
        with st.expander(f"Left out while reading, with reasons ({len(skipped):,})"):
            for line in skipped:
                st.text(line)
    return explored


def _pick_place() -> Explored:
    """Draw the choice among the datasets of this server, and open one."""
    places, key = find_datasets(), "dataset_place"
    if st.session_state.get(key) not in places:
        st.session_state.pop(key, None)
    place = st.selectbox(
        "Dataset on this server",
        places,
        key=key,
        format_func=_title,
        persist_state="session",
        help="That of DATASET_PATH, what lies in its folders, and the samples of this repository.",
    )
    try:
        dataset = open_dataset(place)
    except StudioError as error:
        hint = "Set DATASET_PATH to the folder of a dataset and restart the server, or choose Your upload."
        raise StudioError(f"{error} {hint}") from error
    facts = [f"{len(dataset.rows):,} images", *sorted({row.source for row in dataset.rows if row.source})]
    st.caption(escape_markdown(f"{place.folder.name} · {' · '.join(facts)}"))
    number = places.index(place)
    return Explored(f"{SERVER}{number or ''}", place.folder.resolve().name, place.folder, dataset, place.tables)


def _title(place: Place) -> str:
    """The words for a dataset: the title of a sample that ships, else the folder's name."""
    folder, root = place.folder.resolve(), SHIPPED.resolve()
    inside = folder.relative_to(root).as_posix() if folder.is_relative_to(root) else ""
    title = TITLES.get(inside) or folder.name
    return f"{title}, reports in the Indiana layout" if place.is_indiana else title


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
        draw_fault(fault)
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
    classes = class_titles(class_names(dataset.rows))
    return f"of {len(classes)} classes: {', '.join(classes.values())}" if classes else "with a table"


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
    search, labels, more = st.columns([3, 3, 1.2], vertical_alignment="bottom")
    query = search.text_input(
        "Search",
        key=_key(explored, "query"),
        max_chars=MAX_QUERY_CHARACTERS,
        help=SEARCH_HELP,
        placeholder='effusion "AP chest"' if count_findings(rows).present.any() else "",
        persist_state="session",
    )
    with labels:
        findings = () if "label" in known_facts(rows) else _pick_findings(explored)
        classes = _pick_values(explored, "label") if "label" in known_facts(rows) else ()
    with more.popover("More filters", width="stretch"):
        filters = _draw_more_filters(explored, query, findings, classes)
    kept = filter_rows(rows, filters)
    with st.container(horizontal=True, vertical_alignment="center", key="dataset_count"):
        st.markdown(f"**{len(kept):,} of {len(rows):,} images**", width="content")
        if filters.count:
            st.caption(escape_markdown(_describe(filters, explored.classes)), width="content")
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


def _pick_findings(explored: Explored) -> tuple[str, ...]:
    counts = count_findings(explored.dataset.rows).query("present > 0").present.to_dict()
    _drop_unknown(_key(explored, "findings"), counts)
    chosen = st.multiselect(
        "Finding",
        list(counts),
        format_func=lambda name: f"{finding_name(name)} ({counts[name]:,})",
        key=_key(explored, "findings"),
        placeholder="any",
        disabled=not counts,
        persist_state="session",
    )
    return tuple(chosen)


def _draw_more_filters(explored: Explored, query: str, findings: tuple[str, ...], classes: tuple[str, ...]) -> Filters:
    """Draw the fields of what is known of the images; `findings` and `classes` have theirs elsewhere."""
    rows = explored.dataset.rows
    every = st.toggle(
        "Require all chosen findings",
        key=_key(explored, "every"),
        disabled=len(findings) < 2,
        persist_state="session",
    )
    facts = {name: _pick_values(explored, name) for name in known_facts(rows) if name != "label"} | {"label": classes}
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
    counts, classes = count_facts(explored.dataset.rows, name), explored.classes
    values = {"" if value == NOT_KNOWN else value: number for value, number in counts.items()}
    _drop_unknown(_key(explored, name), values)
    return tuple(
        st.multiselect(
            FACT_NAMES[name],
            list(values),
            format_func=lambda value: f"{value_name(value, classes) or NOT_KNOWN} ({values[value]:,})",
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


def _describe(filters: Filters, classes: Mapping[str, str]) -> str:
    """The active filters in one line."""
    parts = [f"search {filters.query.strip()}"] if filters.query.strip() else []
    if filters.findings:
        parts.append((" and " if filters.all_findings else " or ").join(map(finding_name, filters.findings)))
    facts = {FACT_NAMES[name].lower(): getattr(filters, name) for name in FACTS}
    parts += [
        f"{name} {' or '.join(value_name(value, classes) or NOT_KNOWN for value in values)}"
        for name, values in facts.items()
        if values
    ]
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


# Training

UPLOADED = "FOLDER"  # stands in the command for where a visitor keeps the upload


@st.fragment
def _draw_training(_rows: Sequence[Row], explored: Explored) -> None:
    """Draw the command that trains a model on the whole dataset."""
    dataset, is_upload = explored.dataset, not explored.key.startswith(SERVER)
    drawn = {manifest.name: manifest.labels for manifest in studio().checkpoints()}
    folder = UPLOADED if is_upload else explored.folder
    command, quick = (
        training_command(dataset.rows, folder, explored.tables, drawn, is_quick=is_quick) for is_quick in (False, True)
    )
    if not command:
        st.info(
            "A model learns from words or from classes, and of these images neither is known. Put the images of each "
            "class into a folder of their own, or add a table (metadata.csv) with a caption or a label for each."
        )
        return
    count = count_text(len(dataset.split("train")), "image")
    st.caption(
        f"Trains on the {count} of the train split, whatever the filters are, and makes a new checkpoint, which the "
        "studio finds by itself. Run it in the folder of this repository."
    )
    if is_upload:
        st.caption(f"Unpack your images on the machine that trains, and write their folder for {UPLOADED}.")
    st.code(command, language="bash", wrap_lines=True)
    st.caption("All steps at tiny scale, to see within minutes that they work:")
    st.code(quick, language="bash", wrap_lines=True)


main()
