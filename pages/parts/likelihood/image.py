"""Which image is judged: one that this model drew here, an uploaded slice, or one of the data set; each read once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import streamlit as st

from pages.parts.dataset.source import default_rows
from pages.parts.services import plain, studio
from xray_generator.checkpoints import Manifest
from xray_generator.data.rows import Row, class_names
from xray_generator.dicom.hounsfield import Window
from xray_generator.export.archive import Source
from xray_generator.export.recipe import Recipe
from xray_generator.gallery import newest, read_slice_source
from xray_generator.images import FORMATS
from xray_generator.requests import describe_condition

ANY = "any"
KINDS = ("Generated", "Upload", "Dataset")
MAX_UPLOAD_MB = 64


def pick_image(
    manifest: Manifest, prefix: str = "likelihood", *, pick_rows: Callable[[], Sequence[Row]] = default_rows
) -> Source | None:
    """Draw the picker; None until there is an image. StudioError where the chosen one cannot be read.

    Args:
        manifest: of the checkpoint that looks at it.
        prefix: of the keys of its fields.
        pick_rows: gives the rows of the data set; may draw a choice of it.
    """
    made = newest(studio().generated_dir)
    generated = {path: recipe for path, recipe in made.items() if recipe.checkpoint == manifest.ref}
    window = studio().manifest(manifest.ref.full_name).hu_window
    key = f"{prefix}_source"
    st.session_state.setdefault(key, "Generated" if generated else "Upload")
    kind = st.segmented_control("Image", KINDS, required=True, key=key, persist_state="session")
    if kind == "Generated":
        source = _pick_generated(generated, window, prefix)
    else:
        source = _pick_upload(window, prefix) if kind == "Upload" else _pick_row(pick_rows(), window, prefix)
    if source is not None:
        height, width = source.image.shape
        st.caption(plain(f"{source.origin} · {width} x {height} pixels, seen at {manifest.sizes[0]}."))
    return source


def _pick_generated(generated: Mapping[Path, Recipe], window: Window | None, prefix: str) -> Source | None:
    if not generated:
        st.info(
            "This checkpoint has drawn no image here yet. Make one on the Generator page, or choose another source."
        )
        return None
    path = st.selectbox(
        "Newest images of this checkpoint",
        list(generated),
        format_func=lambda p: _words(generated[p]),
        key=f"{prefix}_generated",
        persist_state="session",
    )
    return _read(path, path.stat().st_mtime_ns, f"generated with seed {generated[path].request.seed}", window)


def _pick_upload(window: Window | None, prefix: str) -> Source | None:
    st.file_uploader(
        f"{', '.join(FORMATS)}; up to {MAX_UPLOAD_MB} MB",
        key=f"{prefix}_upload",
        max_upload_size=MAX_UPLOAD_MB,
        on_change=_keep,
        args=(prefix,),
        help="A CT DICOM file is seen through the model's window; of any other file the gray levels are taken.",
    )
    data = st.session_state.get(f"{prefix}_kept")
    return _decode(data, window) if data is not None else None


def _keep(prefix: str) -> None:
    """Hold the file for the session: the field forgets it when the page is left."""
    file = st.session_state[f"{prefix}_upload"]
    st.session_state[f"{prefix}_kept"] = None if file is None else file.getvalue()


@st.cache_data(max_entries=1, show_spinner="Reading the image", scope="session")
def _decode(data: bytes, window: Window | None) -> Source:
    return read_slice_source(data, "uploaded image", window)


@st.cache_data(max_entries=4, show_spinner=False)
def _read(path: Path, modified_ns: int, origin: str, window: Window | None) -> Source:  # noqa: ARG001 - a part of the key
    return read_slice_source(path.read_bytes(), origin, window)


def _pick_row(rows: Sequence[Row], window: Window | None, prefix: str) -> Source | None:
    if not rows:  # a choice among none would be kept as none
        return None
    left, right = st.columns([1, 2])
    classes = (ANY, *class_names(rows))
    label = left.selectbox(
        "Class",
        classes,
        format_func=lambda name: name.replace("_", " "),
        key=f"{prefix}_class {' '.join(classes)}",
        persist_state="session",
    )
    paths = {str(row.path): row for row in rows if label in (ANY, row.label)}
    path = right.selectbox(
        f"Image, one of {len(paths):,}",
        list(paths),
        format_func=lambda p: _row_words(paths[p]),
        key=f"{prefix}_row",
        persist_state="session",
    )
    if path is None:
        return None
    row = paths[path]
    origin = f"{row.path.name}, {row.source}, license: {row.license}"
    return _read(row.path, row.path.stat().st_mtime_ns, origin, window)


def _words(recipe: Recipe) -> str:
    return f"{describe_condition(recipe.request.condition)[:90]} · seed {recipe.request.seed} · {recipe.digest}"


def _row_words(row: Row) -> str:
    words = (row.label.replace("_", " "), f"{row.split} split", "/".join(row.path.parts[-3:]))
    return " · ".join(word for word in words if word)
