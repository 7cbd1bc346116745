"""The image picker: an image generated here, an uploaded file, or one of the dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.kit.services import Stamped, default_rows, escape_markdown, own_dir, shared_dir, studio
from xray_generator.checkpoints import Manifest
from xray_generator.data.rows import Row, class_names, finding_name
from xray_generator.dicom import FULL
from xray_generator.dicom.hounsfield import Window
from xray_generator.export.archive import Source
from xray_generator.export.recipe import Recipe
from xray_generator.gallery import newest, read_in_units, read_recipe, read_slice_source
from xray_generator.images import FORMATS
from xray_generator.requests import describe_condition

ANY = "any"
MAX_UPLOAD_MB = 64


def pick_image(
    key: str,
    *,
    sources: Sequence[str] = ("Generated", "Upload", "Dataset"),
    manifest: Manifest | None = None,
    pick_rows: Callable[[], Sequence[Row]] = default_rows,
    others: Mapping[str, Callable[[], Source | None]] = MappingProxyType({}),
    is_wide: bool = False,
) -> Source | None:
    """Draw the picker and a line about the image; None until there is one.

    Args:
        key: begins the session's keys of the fields.
        sources: which of "Generated", "Upload" and "Dataset" are offered.
        manifest: of the checkpoint that will look at the image: only its own generated images are offered, and its
            window is applied to CT files. None: any checkpoint's images, and CT files in all Hounsfield units.
        pick_rows: returns the images of the dataset; it may draw fields to choose them by.
        others: further sources, each with what draws its fields and returns the image.
        is_wide: draw the choice of the source beside the other fields, not above them.

    Raises:
        StudioError: the image cannot be read; the text says why.
    """
    window = FULL if manifest is None else manifest.hu_window
    generated = {
        path: recipe
        for path, recipe in _list_generated(key).items()
        if manifest is None or recipe.checkpoint == manifest.ref
    }
    fallback = "Dataset" if manifest is None and "Dataset" in sources else "Upload"
    st.session_state.setdefault(f"{key}_source", "Generated" if generated and "Generated" in sources else fallback)
    kinds, fields = st.columns([1, 3], vertical_alignment="bottom") if is_wide else (st.container(), st.container())
    kind = kinds.segmented_control(
        "Image", [*sources, *others], required=True, key=f"{key}_source", persist_state="session"
    )
    with fields:
        if kind == "Generated":
            source = _pick_generated(key, generated, window, is_own=manifest is not None)
        elif kind == "Upload":
            source = pick_upload(key, window)
        elif kind == "Dataset":
            source = _pick_row(key, pick_rows(), window)
        else:
            source = others[str(kind)]()
    if source is not None:
        height, width = source.image.shape
        scaled = f", resized to {manifest.sizes[0]}" if manifest and {height, width} != {manifest.sizes[0]} else ""
        st.caption(escape_markdown(f"{source.origin} · {width} x {height} pixels{scaled}"))
    return source


def pick_upload(key: str, window: Window | None = None, place: DeltaGenerator | None = None) -> Source | None:
    """Draw the upload field; the image, at most 4 megapixels, or None until there is one.

    A CT DICOM file is shown through `window`, if there is one, or with FULL in all its Hounsfield units; any other file
    is used with its gray levels as they are.

    Raises:
        StudioError: the file cannot be read; the text says why.
    """
    (place or st).file_uploader(
        f"{', '.join(FORMATS)}; 8 or 16 bits; up to {MAX_UPLOAD_MB} MB",
        key=f"{key}_upload",
        max_upload_size=MAX_UPLOAD_MB,
        on_change=_keep_upload,
        args=(key,),
        help=_describe_reading(window),
    )
    data = st.session_state.get(f"{key}_kept")
    return None if data is None else _decode(data, window)


def _describe_reading(window: Window | None) -> str | None:
    if window is None:
        return None
    ct = "read in Hounsfield units" if window == FULL else "shown through the model's window"
    return f"CT DICOM files are {ct}; other files keep their gray levels."


def describe_recipe(recipe: Recipe, titles: Mapping[str, str]) -> str:
    """A generated image in one line: prompt or class, seed, digest. `titles` are those of the checkpoint's classes."""
    return f"{describe_condition(recipe.request.condition, titles)[:90]} · seed {recipe.request.seed} · {recipe.digest}"


def describe_row(row: Row) -> str:
    """An image of the dataset in one line."""
    age = f"{row.age} years" if row.age is not None else ""
    label = row.label.replace("_", " ")
    split = f"{row.split} split" if row.label else ""
    name = "/".join(row.path.parts[-3:]) if row.label else row.path.name
    words = (label, ", ".join(map(finding_name, row.findings)), row.view, row.sex, age, split, name)
    return " · ".join(word for word in words if word)


def _list_generated(key: str) -> dict[Path, Recipe]:
    """This person's newest images, and the one that is chosen already where it is no longer among them."""
    found, chosen = newest(own_dir(), shared_dir()), st.session_state.get(f"{key}_generated")
    if isinstance(chosen, Path) and chosen not in found and chosen.is_file() and (recipe := read_recipe(chosen)):
        return {chosen: recipe, **found}
    return found


def _pick_generated(
    key: str, generated: Mapping[Path, Recipe], window: Window | None, *, is_own: bool
) -> Source | None:
    if not generated:
        what = (
            "You have not generated an image with this model yet." if is_own else "You have not generated an image yet."
        )
        st.info(f"{what} Make one on the Generator page, or choose another source.")
        return None
    names = {recipe.checkpoint.full_name for recipe in generated.values()}
    titles = {name: studio().class_titles(name) for name in names}
    path = st.selectbox(
        "Your latest images of this model" if is_own else "Your latest images",
        list(generated),
        format_func=lambda p: describe_recipe(generated[p], titles[generated[p].checkpoint.full_name]),
        key=f"{key}_generated",
        persist_state="session",
    )
    if path is None:
        return None
    recipe = generated[path]
    return _read(Stamped.of(path), f"generated by {recipe.checkpoint.name} with seed {recipe.request.seed}", window)


def _pick_row(key: str, rows: Sequence[Row], window: Window | None) -> Source | None:
    if not rows:  # a choice among none would be kept as none
        return None
    rows, field = (_filter_classes if class_names(rows) else _filter_findings)(key, rows)
    paths = {str(row.path): row for row in rows}
    path = field.selectbox(
        f"Image, one of {len(paths):,}",
        list(paths),
        format_func=lambda p: describe_row(paths[p]),
        key=f"{key}_row",
        persist_state="session",
        placeholder="No matching image",
    )
    if path is None:
        return None
    row = paths[path]
    return _read(Stamped.of(row.path), f"{row.path.name}, {row.source}, license: {row.license}", window)


def _filter_classes(key: str, rows: Sequence[Row]) -> tuple[list[Row], DeltaGenerator]:
    left, right = st.columns([1, 2])
    classes = (ANY, *class_names(rows))
    label = left.selectbox(
        "Class",
        classes,
        format_func=lambda name: name.replace("_", " "),
        key=f"{key}_class {' '.join(classes)}",
        persist_state="session",
    )
    return [row for row in rows if label in (ANY, row.label)], right


def _filter_findings(key: str, rows: Sequence[Row]) -> tuple[list[Row], DeltaGenerator]:
    left, middle, right = st.columns([1, 0.6, 2])
    findings = [ANY, *dict.fromkeys(finding for row in rows for finding in row.findings)]
    finding = left.selectbox(
        "Finding", findings, format_func=finding_name, key=f"{key}_finding", persist_state="session"
    )
    views = [ANY, *sorted({row.view for row in rows if row.view})]
    view = middle.selectbox("View", views, key=f"{key}_view", persist_state="session")
    return [row for row in rows if finding in (ANY, *row.findings) and view in (ANY, row.view)], right


def _keep_upload(key: str) -> None:
    """Hold the file for the session: the widget forgets it when the page is left."""
    file = st.session_state[f"{key}_upload"]
    st.session_state[f"{key}_kept"] = None if file is None else file.getvalue()


@st.cache_data(max_entries=1, show_spinner="Reading the image", scope="session")
def _decode(data: bytes, window: Window | None) -> Source:
    return _read_data(data, "uploaded image", window)


@st.cache_data(max_entries=4, show_spinner=False, hash_funcs={Stamped: hash})
def _read(file: Stamped, origin: str, window: Window | None) -> Source:
    return _read_data(file.path.read_bytes(), origin, window)


def _read_data(data: bytes, origin: str, window: Window | None) -> Source:
    return read_in_units(data, origin) if window == FULL else read_slice_source(data, origin, window)
