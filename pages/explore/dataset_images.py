"""The images of the dataset explorer: thumbnails, one image with its facts, and image statistics."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st

from pages.kit import charts
from pages.kit.facts import draw_facts
from pages.kit.services import Stamped, draw_fault, escape_markdown, explain_faults
from pages.kit.thumbnails import THUMBNAIL_PIXELS, Tile, draw_thumbnails
from xray_generator.dashboards import dataset_images
from xray_generator.dashboards.prompts import describe_row
from xray_generator.data.attribution import ATTRIBUTION
from xray_generator.data.exploration import (
    NOT_KNOWN,
    evenly,
    fact,
    fingerprint,
    known_facts,
    relative_name,
)
from xray_generator.data.naming import class_titles
from xray_generator.data.report import split_sections
from xray_generator.data.rows import SEX_NAMES, Dataset, Row, class_names, finding_name
from xray_generator.dicom import read_slice
from xray_generator.dicom.hounsfield import Window
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.summary import known_measure, value_text
from xray_generator.images import encode_png, limit_pixels, read_image
from xray_generator.types import Image, StudioError

FACT_NAMES = {
    "label": "Class",
    "split": "Split",
    "source": "Source",
    "view": "View",
    "sex": "Sex",
    "age_group": "Age group",
}
FILES: dict[str | type, Callable[[object], int]] = {Stamped: hash, Window: hash}
PER_PAGE = 24
SHOWN_PIXELS = 1_500_000
AUTOMATIC = 250  # images that are processed without asking: a second or two
MOST = 500  # images that statistics and the map look at
FEW_SIZES = 5  # native sizes up to which bars say more than boxes


@dataclass(frozen=True, slots=True)
class Explored:
    """The dataset on the page."""

    key: str  # begins the session keys of its fields, because another dataset has other values
    name: str
    folder: Path
    dataset: Dataset
    tables: tuple[Path, ...] = ()  # that must be named to read it

    @property
    def classes(self) -> dict[str, str]:
        """Class -> its plain name, in the order of menus."""
        return class_titles(class_names(self.dataset.rows))


@dataclass(frozen=True, slots=True)
class Sample:
    """At most MOST rows, evenly spread over all; cached by `digest`."""

    rows: tuple[Row, ...]
    digest: str
    text: str  # "500 of 9,000, evenly spread"

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Sample:
        """The sample of some rows."""
        chosen = evenly(rows, MOST)
        text = f"{len(chosen):,} of {len(rows):,}, evenly spread" if len(chosen) < len(rows) else f"{len(rows):,}"
        return cls(tuple(chosen), fingerprint(chosen), text)


def confirm(label: str, key: str, digest: str, n: int) -> bool:
    """Whether to process n images: few at once, more once the button was pressed for exactly these."""
    if n <= AUTOMATIC or st.session_state.get(f"{key}_asked") == digest:
        return True
    return st.button(
        label, key=key, type="primary", on_click=st.session_state.__setitem__, args=(f"{key}_asked", digest)
    )


# Browse


@st.fragment
def draw_browse(rows: Sequence[Row], explored: Explored) -> None:
    """Draw a page of thumbnails, and the chosen image beside it."""
    chosen_key = f"dataset_{explored.key}_chosen"
    paths = [row.path for row in rows]
    chosen = st.session_state.get(chosen_key)
    index = paths.index(chosen) if chosen in paths else 0
    first = index // PER_PAGE * PER_PAGE

    def choose(place: int) -> None:
        st.session_state[chosen_key] = paths[place]

    grid, detail = st.columns([3, 2], gap="medium")
    with grid:
        key = f"dataset_{explored.key}_grid"
        tiles = [_tile(row, explored.classes) for row in rows[first : first + PER_PAGE]]
        draw_thumbnails(tiles, index - first, key, lambda place: choose(first + place))
        page, num_pages = first // PER_PAGE + 1, -(-len(rows) // PER_PAGE)
        if num_pages > 1:
            key = f"dataset_page_{page}_of_{num_pages}"  # a widget for each state, because the chosen image leads
            st.pagination(
                num_pages, default=page, key=key, on_change=lambda: choose((st.session_state[key] - 1) * PER_PAGE)
            )
    with detail:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Previous",
                key="dataset_previous",
                icon=":material/chevron_left:",
                disabled=index == 0,
                on_click=choose,
                args=(index - 1,),
            )
            st.button(
                "Next",
                key="dataset_next",
                icon=":material/chevron_right:",
                disabled=index + 1 == len(rows),
                on_click=choose,
                args=(index + 1,),
            )
            st.caption(f"{index + 1:,} of {len(rows):,}")
        draw_row(rows[index], explored, "dataset_browse")


def _tile(row: Row, classes: Mapping[str, str]) -> Tile:
    try:
        png = _read_thumbnail(Stamped.of(row.path), row.hu_window)
    except (StudioError, OSError):
        png = b""
    label = classes.get(row.label) or ", ".join(map(finding_name, row.findings)) or row.path.name
    return Tile(png, label, f"{describe(row, classes)} · {row.path.name}")


@st.cache_data(max_entries=2_000, show_spinner=False, scope="session", hash_funcs=FILES)
def _read_thumbnail(file: Stamped, window: Window | None) -> bytes:
    return encode_png(limit_pixels(decode(file.path, window), THUMBNAIL_PIXELS))


@st.cache_data(max_entries=8, show_spinner=False, scope="session", hash_funcs=FILES)
def _read_image(file: Stamped, window: Window | None) -> Image:
    return limit_pixels(decode(file.path, window), SHOWN_PIXELS)


def decode(path: Path, window: Window | None) -> Image:
    """The image of a file; of a CT slice in Hounsfield units through the window that a model would see."""
    return read_image(path) if window is None else window.apply(read_slice(path).hu)


# One image


def value_name(value: str, classes: Mapping[str, str]) -> str:
    """The words for a value of one of FACTS."""
    return classes.get(value) or SEX_NAMES.get(value) or finding_name(value)


def describe(row: Row, classes: Mapping[str, str]) -> str:
    """See `describe_row`; the file name if nothing is known."""
    return describe_row(row, classes) or row.path.name


def draw_row(row: Row, explored: Explored, key: str) -> None:
    """Draw an image with its labels, report, facts, statistics, license and download."""
    try:
        image = _read_image(Stamped.of(row.path), row.hu_window)
    except StudioError as error:
        draw_fault(f"{row.path.name}: {error}")
        return
    except OSError as error:  # its own text names the server's folder
        reason = f"{error.strerror}. It may have been moved since this page was opened."
        draw_fault(f"{row.path.name} cannot be opened: {reason}")
        return
    st.image(image, width="stretch", output_format="PNG", alt=f"Real image: {describe(row, explored.classes)}")
    height, width = image.shape
    name = relative_name(row.path, explored.folder)
    st.caption(escape_markdown(f"Real image · {name} · shown at {width} x {height} pixels"))
    sections = split_sections(row.report)
    texts = {
        "Findings": ", ".join(map(finding_name, row.findings)),
        "Ruled out": ", ".join(map(finding_name, row.absent)),
        "Prompt": row.prompt,
        "Report, findings": sections.findings,
        "Report, impression": sections.impression,
        "Report": sections.rest,
    }
    for title, text in texts.items():
        if text:
            st.markdown(f"**{title}:** {escape_markdown(text)}")
    facts = {
        **({"Class": explored.classes[row.label]} if row.label else {}),
        "Split": fact(row, "split"),
        "Source": row.source,
        "View": row.view,
        "Sex": SEX_NAMES.get(row.sex, ""),
        "Age": "" if row.age is None else f"{row.age} years",
        "Age group": row.age_group.replace("_", " "),
        "Patient": row.patient_id,
        "Native size": f"{row.native_size} pixels" if row.native_size else "",
    }
    draw_facts({title: value for title, value in facts.items() if value}, columns=3, min_width=110)
    if unknown := [title.lower() for title, value in facts.items() if not value]:
        st.caption(f"Not known: {', '.join(unknown)}.")
    with st.expander("Image statistics"):
        grid = st.grid(3, min_column_width=100)
        for m in dataset_images.measure_image(image):
            with grid.cell(), st.container(gap=None):
                st.caption(escape_markdown(known_measure(m).title), help=escape_markdown(known_measure(m).help))
                st.text(value_text(m))
        st.caption(f"Measured at {dataset_images.SIZE} x {dataset_images.SIZE} pixels, as in the tab Image statistics.")
    origin = (f"License: {row.license}" if row.license else "", ATTRIBUTION.get(row.source, ""))
    st.caption(escape_markdown(" · ".join(filter(None, origin))))
    st.download_button(
        "Download this image",
        row.path.read_bytes,
        row.path.name,
        mimetypes.guess_type(row.path.name)[0],
        key=f"{key}_download",
        on_click="ignore",
    )


# Image statistics


@st.fragment
@explain_faults()
def draw_statistics(rows: Sequence[Row], explored: Explored) -> None:
    """Draw how measures of the images are distributed, and the mean image."""
    sample = Sample.of(rows)
    side = dataset_images.SIZE
    st.caption(f"Measured on {sample.text} images, each scaled to {side} x {side} pixels as for training.")
    n = len(sample.rows)
    if not confirm(f"Measure {n:,} images", "dataset_measure", sample.digest, n):
        return
    found = _measure(sample)
    facts = known_facts(explored.dataset.rows)
    group = st.segmented_control(
        "Compare by",
        facts,
        format_func=FACT_NAMES.__getitem__,
        required=True,
        default="label" if "label" in facts else "source",
        key=f"dataset_{explored.key}_group",
        persist_state="session",
        disabled=explored.dataset.is_loose,
    )
    classes = explored.classes
    groups = [classes.get(value := fact(row, group), value) or NOT_KNOWN for row in found.rows]
    height = 110 + 52 * len(set(groups))
    columns = st.columns(2)
    for place, (name, values) in enumerate(found.values.items()):
        measure = MEASURES[name]
        with columns[place % 2]:
            st.markdown(f"**{measure.title}**", help=escape_markdown(measure.help))
            charts.draw(_boxes(values.tolist(), groups, measure.unit or "value"), f"dataset_{name}", height)
    with columns[len(found.values) % 2]:
        st.markdown("**Native size**", help="Length of the shorter side in pixels; of the original if it was smaller.")
        charts.draw(_sizes([row.native_size for row in found.rows], groups), "dataset_native_size", height)
    st.caption("Box: middle half of the images, with the median. Whiskers: up to 1.5 box lengths. Dots: outliers.")
    _draw_mean(found)
    for reason in found.skipped:
        st.text(reason)


@st.cache_data(
    max_entries=16, show_spinner="Measuring the images", scope="session", hash_funcs={Sample: attrgetter("digest")}
)
def _measure(sample: Sample) -> dataset_images.ImageStatistics:
    return dataset_images.measure_rows(sample.rows)


def _boxes(values: Sequence[float], groups: Sequence[str], label: str) -> go.Figure:
    """A horizontal box for each group, in the order of names, with its n."""
    figure = go.Figure()
    for name, color in charts.color_of(sorted(set(groups))).items():
        inside = [value for value, group in zip(values, groups, strict=True) if group == name]
        figure.add_box(
            x=inside,
            name=charts.label(f"{name.replace('_', ' ')}<br>n = {len(inside):,}"),
            marker_color=color,
            marker_size=3,
            showlegend=False,
        )
    figure.update_xaxes(title=label)
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure


def _sizes(sizes: Sequence[int], groups: Sequence[str]) -> go.Figure:
    """Boxes of the known sizes; with few distinct sizes, bars of the number of images."""
    known = [(float(size), group) for size, group in zip(sizes, groups, strict=True) if size]
    distinct = sorted({size for size, _ in known})
    if len(distinct) > FEW_SIZES:
        return _boxes([size for size, _ in known], [group for _, group in known], "pixels")
    names = sorted(set(groups))
    figure = go.Figure()
    for size, color in zip(distinct, charts.OTHERS, strict=False):
        figure.add_bar(
            y=[charts.label(name.replace("_", " ")) for name in names],
            x=[known.count((size, name)) for name in names],
            name=f"{size:g} pixels",
            orientation="h",
            marker_color=color,
        )
    figure.update_layout(barmode="stack", showlegend=True)  # of a single size, too
    figure.update_xaxes(title="images")
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure


def _draw_mean(found: dataset_images.ImageStatistics) -> None:
    n = len(found.rows)
    mean, deviation, _ = st.columns([2, 2, 1])
    with mean:
        st.markdown("**Mean image**")
        st.image(found.mean, width="stretch", output_format="PNG", alt=f"Mean of {n} images")
        st.caption(f"n = {n:,}. Sharp where all images agree, blurred where they differ.")
    with deviation:
        st.markdown("**Standard deviation of each pixel**")
        stretched = dataset_images.stretched(found.deviation)
        st.image(stretched, width="stretch", output_format="PNG", alt=f"Standard deviation over {n} images")
        low, high = (f"{float(end):.2f}" for end in (found.deviation.min(), found.deviation.max()))
        st.caption(f"n = {n:,}. Bright where images differ most; black is {low} and white {high} of the gray scale.")
