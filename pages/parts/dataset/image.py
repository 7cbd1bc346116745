"""One image of a dataset with all that is known of it."""

from __future__ import annotations

import mimetypes
from pathlib import Path

import streamlit as st

from pages.parts.dataset.source import Explored
from pages.parts.services import plain
from xray_generator.dashboards.dataset_images import SIZE, measure_image
from xray_generator.data.attribution import ATTRIBUTION
from xray_generator.data.exploration import NOT_KNOWN, fact, relative_name
from xray_generator.data.report import split_sections
from xray_generator.data.rows import Row, finding_name
from xray_generator.evaluation.summary import known_measure, value_text
from xray_generator.images import encode_png, limit_pixels, read_image
from xray_generator.types import Image, StudioError

SHOWN_PIXELS, THUMBNAIL_PIXELS = 1_500_000, 128 * 128
SEXES = {"M": "male", "F": "female"}
FACT_NAMES = {"split": "Split", "source": "Source", "view": "View", "sex": "Sex", "age_group": "Age group"}


def draw_row(row: Row, explored: Explored, key: str) -> None:
    """Draw the image, its facts and texts, and the button that downloads the file."""
    try:
        image = _image(row.path, _written(row))
    except StudioError as error:
        st.error(plain(f"{row.path.name}: {error}"))
        return
    except OSError as error:  # its own text names the server's folder
        st.error(plain(f"{row.path.name} cannot be opened: {error.strerror}. Was it moved since the page was opened?"))
        return
    st.image(image, width="stretch", output_format="PNG", alt=f"Real image: {describe(row)}")
    height, width = image.shape
    st.caption(plain(f"Real image · {relative_name(row.path, explored.folder)} · {width} x {height} pixels as shown"))
    _draw_texts(row)
    _draw_facts(_facts(row))
    with st.expander("Image statistics"):
        _draw_statistics(image)
    _draw_origin(row)
    st.download_button(
        "Download this image",
        row.path.read_bytes,
        row.path.name,
        mimetypes.guess_type(row.path.name)[0],
        key=f"{key}_download",
        on_click="ignore",
    )


def describe(row: Row) -> str:
    """Findings, view and person in one line; the file's name where nothing is known."""
    age = "" if row.age is None else f"{row.age} years"
    words = (", ".join(map(finding_name, row.findings)), row.view, SEXES.get(row.sex, ""), age)
    return " · ".join(word for word in words if word) or row.path.name


def thumbnail(row: Row) -> bytes | None:
    """A small PNG, cached until the file changes; None where the image cannot be read."""
    try:
        return _thumbnail(row.path, _written(row))
    except (StudioError, OSError):
        return None


@st.cache_data(max_entries=2_000, show_spinner=False, scope="session")
def _thumbnail(path: Path, written_ns: int) -> bytes:  # noqa: ARG001 - a part of the cache's key
    return encode_png(limit_pixels(read_image(path), THUMBNAIL_PIXELS))


@st.cache_data(max_entries=8, show_spinner=False, scope="session")
def _image(path: Path, written_ns: int) -> Image:  # noqa: ARG001 - a part of the cache's key
    return limit_pixels(read_image(path), SHOWN_PIXELS)


def _written(row: Row) -> int:
    return row.path.stat().st_mtime_ns


def _facts(row: Row) -> dict[str, str]:
    return {
        "Split": fact(row, "split"),
        "Source": row.source,
        "View": row.view,
        "Sex": SEXES.get(row.sex, ""),
        "Age": "" if row.age is None else f"{row.age} years",
        "Age group": row.age_group.replace("_", " "),
        "Patient": row.patient_id,
        "Native size": f"{row.native_size} pixels" if row.native_size else "",
    }


def _draw_facts(facts: dict[str, str]) -> None:
    grid = st.grid(3, min_column_width=110)
    for name, value in facts.items():
        with grid.cell(), st.container(gap=None):
            st.caption(name)
            st.text(value or NOT_KNOWN)


def _draw_texts(row: Row) -> None:
    for name, findings in (("Findings", row.findings), ("Denied", row.absent)):
        if findings:
            st.markdown(f"**{name}:** {plain(', '.join(map(finding_name, findings)))}")
    if row.prompt:
        st.markdown(f"**Prompt:** {plain(row.prompt)}")
    sections = split_sections(row.report)
    parts = {"Report, findings": sections.findings, "Report, impression": sections.impression, "Report": sections.rest}
    for name, text in parts.items():
        if text:
            st.markdown(f"**{name}:** {plain(text)}")


def _draw_statistics(image: Image) -> None:
    grid = st.grid(3, min_column_width=100)
    for measurement in measure_image(image):
        measure = known_measure(measurement)
        with grid.cell(), st.container(gap=None):
            st.caption(plain(measure.title), help=plain(measure.help))
            st.text(value_text(measurement))
    st.caption(f"At {SIZE} x {SIZE} pixels, as in the tab Image statistics; n = 1.")


def _draw_origin(row: Row) -> None:
    parts = [f"License: {row.license}" if row.license else "", ATTRIBUTION.get(row.source, "")]
    if any(parts):
        st.caption(plain(" · ".join(part for part in parts if part)))
