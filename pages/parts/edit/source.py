"""Which image to edit: one that a prompt and a seed draw, such as the Generator's present one, or an uploaded film."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from pages.parts import checkpoint_picker
from pages.parts.edit import settings
from pages.parts.edit.words import retarget
from pages.parts.generator.results import RESULT, SELECTED
from pages.parts.services import job_queue, plain, studio
from xray_generator.checkpoints import Manifest
from xray_generator.images import FORMATS, limit_pixels, read_image
from xray_generator.types import CheckpointRef, GenerationRequest, GenerationResult, Image, StudioError, TextPrompt

KIND, UPLOAD, KEPT = "edit_kind", "edit_upload", "edit_kept"
GENERATED, UPLOADED = "Generated", "Upload"
MAX_UPLOAD_MB = 64
MAX_PIXELS = 4_000_000  # of a held upload: the model looks at far fewer


@dataclass(frozen=True, slots=True)
class Shown:
    """The image that the Generator shows now."""

    request: GenerationRequest  # of this image alone
    checkpoint: CheckpointRef


def pick_kind() -> bool:
    """Draw the choice; whether the image is an upload."""
    st.session_state.setdefault(KIND, GENERATED)
    kinds, take = st.columns([3, 2], vertical_alignment="bottom")
    kind = kinds.segmented_control(
        "Image to edit", (GENERATED, UPLOADED), required=True, key=KIND, persist_state="session"
    )
    shown = _generator_shows()
    take.button(
        "From the Generator",
        key="edit_take",
        on_click=_take,
        args=(shown,),
        disabled=shown is None,
        width="stretch",
        help="Its prompt, seed and settings." if shown else "The Generator shows no image drawn from a prompt.",
    )
    return kind == UPLOADED


def draw_upload() -> Image | None:
    """Draw the upload field; the image, or None until there is one. StudioError where the file cannot be read."""
    field, preview = st.columns([3, 1], vertical_alignment="bottom")
    field.file_uploader(
        f"{', '.join(FORMATS)}; up to {MAX_UPLOAD_MB} MB", key=UPLOAD, max_upload_size=MAX_UPLOAD_MB, on_change=_keep
    )
    data = st.session_state.get(KEPT)
    if data is None:
        return None
    image = _decode(data)
    preview.image(image, width="stretch", output_format="PNG", alt="The uploaded image")
    height, width = image.shape
    crop = "" if height == width else "; its central square is used"
    st.caption(plain(f"Uploaded image, {width} x {height} pixels{crop}."))
    return image


def _keep() -> None:
    """Hold the file for the session: the field forgets it when the page is left."""
    file = st.session_state[UPLOAD]
    st.session_state[KEPT] = None if file is None else file.getvalue()


@st.cache_data(max_entries=1, show_spinner="Reading the image", scope="session")
def _decode(data: bytes) -> Image:
    return limit_pixels(read_image(data), MAX_PIXELS)


def _generator_shows() -> Shown | None:
    job = job_queue().get(st.session_state.get(RESULT, ""))
    result = None if job is None else job.result
    if not isinstance(result, GenerationResult) or result.origin is not None:
        return None
    if not isinstance(result.request.condition, TextPrompt):
        return None
    index = min(st.session_state.get(SELECTED, 0), len(result.images) - 1)
    return Shown(settings.one_of(result, index), result.checkpoint)


def _take(shown: Shown) -> None:
    known: dict[str, Manifest] = {manifest.name: manifest for manifest in studio().checkpoints(prompted=True)}
    manifest = known.get(shown.checkpoint.name)
    try:
        if manifest is None:
            raise StudioError(f"The checkpoint {shown.checkpoint.name} is no longer here.")
        settings.fill(shown.request, manifest)
        retarget(manifest)
    except StudioError as error:
        st.session_state[settings.ERROR] = str(error)
        return
    st.session_state.update({checkpoint_picker.KEY: manifest.name, KIND: GENERATED})
