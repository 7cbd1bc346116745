"""What can be done next with a generated image: each page that can take it on, as a button."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import streamlit as st

from pages.kit.album import OPEN
from pages.kit.checkpoints import KEY
from pages.kit.jobs import draw_error, keep_error
from pages.kit.results import start_drawing
from pages.kit.services import own_dir, studio
from postprocess.presets import PRESETS
from xray_generator.checkpoints import Manifest
from xray_generator.data.naming import subject
from xray_generator.export.pictures import Picture
from xray_generator.registry import offers, reads_prompts
from xray_generator.types import CheckpointRef, GenerationRequest, StudioError

SENT_TO_EDIT = "sent to edit"  # of the session: the request of an image and its checkpoint's name, for the Edit page
ERROR = "send"


@dataclass(frozen=True, slots=True)
class _Way:
    name: str
    icon: str
    page: str
    help: str
    prepare: Callable[[], None]


def draw_send(picture: Picture, key: str, *, is_in_gallery: bool = False) -> None:
    """Draw a button for each page that can go on with a raw generated image, and turn to the one that is pressed.

    `key` begins the keys of the buttons. `is_in_gallery`: the gallery itself shows it.
    """
    for way in _find_ways(picture, is_in_gallery=is_in_gallery):
        if (
            st.button(
                way.name,
                key=f"{key} {way.name}",
                icon=f":material/{way.icon}:",
                on_click=_prepare,
                args=(way,),
                help=way.help,
            )
            and f"{ERROR}_error" not in st.session_state
        ):
            st.switch_page(way.page)
    draw_error(ERROR)


def _prepare(way: _Way) -> None:
    with keep_error(ERROR):
        way.prepare()


def _find_ways(picture: Picture, *, is_in_gallery: bool) -> Iterator[_Way]:
    if not is_in_gallery:
        hint = "Keep it, rate it, compare it with others."
        yield _Way("Gallery", "photo_library", "create/gallery.py", hint, partial(_open_in_gallery, picture))
    yield _Way(
        "Enhance", "tune", "create/enhancement.py", "Compare presets on it.", partial(_choose, "enhancement", picture)
    )
    yield _Way(
        "Enlarge in every way",
        "compare",
        "create/enlarge.py",
        "Compare interpolations and models on it.",
        partial(_choose_to_enlarge, picture),
    )
    recipe, request = picture.recipe, picture.recipe.request
    manifest = find_manifest(recipe.checkpoint)
    if manifest is None or recipe.origin is not None or recipe.upscaler is not None:
        return  # a request of these weights alone does not draw it
    has_field = not (request.adapters or request.eta)  # in the form of edits
    if reads_prompts(manifest) and offers(manifest, "edit") and has_field:
        sent = {SENT_TO_EDIT: (request, manifest.name), KEY: manifest.name}
        yield _Way("Edit", "edit", "create/edit.py", "Add or remove a finding.", partial(st.session_state.update, sent))
    largest = max(studio().sizes(manifest.name))
    if request.height == max(manifest.sizes) < largest:
        hint = f"Draw it at {largest} x {largest} pixels with a second model."
        enlarge = partial(_draw_larger, replace(request, num_images=1, height=largest, width=largest), manifest)
        yield _Way("Enlarge", "zoom_out_map", "create/generate.py", hint, enlarge)
    if offers(manifest, "likelihood"):
        hint = "Score how typical it is for its model."
        score = partial(_choose, "likelihood", picture, manifest.name)
        yield _Way("Likelihood", "query_stats", "measure/likelihood.py", hint, score)


def find_manifest(ref: CheckpointRef) -> Manifest | None:
    """The manifest of a checkpoint, if it has these weights still."""
    try:
        manifest = studio().manifest(ref.full_name)
    except StudioError:
        return None
    return manifest if manifest.ref == ref else None


def _open_in_gallery(picture: Picture) -> None:
    st.session_state[OPEN] = studio().keep(picture, own_dir()).name


def _draw_larger(request: GenerationRequest, manifest: Manifest) -> None:
    st.session_state[KEY] = manifest.name
    start_drawing(request, manifest, PRESETS[0])


def _choose_to_enlarge(picture: Picture) -> None:
    """Choose the image, and a model that enlarges images of its kind where there is one."""
    _choose("enlarge", picture)
    drawn_by = find_manifest(picture.recipe.checkpoint)
    for manifest in studio().enlargers() if drawn_by else ():
        if drawn_by and subject(manifest) == subject(drawn_by):
            st.session_state["enlarge_model"] = manifest.ref.full_name


def _choose(page_key: str, picture: Picture, checkpoint: str = "") -> None:
    """Choose an image in the picker of a page, kept on disk where it is not yet."""
    path = studio().keep(picture, own_dir())
    st.session_state.update({f"{page_key}_source": "Generated", f"{page_key}_generated": path})
    if checkpoint:
        st.session_state[KEY] = checkpoint
