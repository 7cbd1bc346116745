"""Grid: the Generator's form with every combination of up to three settings, as one labeled sheet."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import streamlit as st

from pages.kit.jobs import draw_hint, draw_job, start_button
from pages.kit.services import count_text, escape_markdown, explain_faults, own_dir, studio
from postprocess.presets import PRESETS, Preset
from xray_generator.album.grids import (
    AXES,
    CHECKPOINT,
    CLASS,
    ENHANCEMENT,
    GUIDANCE,
    PROMPT,
    SCHEDULER,
    Axis,
    Cell,
    DrawnGrid,
    draw_cells,
    encode_grid,
    fit_request,
    plan_cells,
    read_numbers,
)
from xray_generator.checkpoints import Manifest
from xray_generator.data.choices import expand_prompt, expand_request
from xray_generator.data.naming import class_titles
from xray_generator.history import Form, read_form
from xray_generator.registry import reads_prompts
from xray_generator.requests import describe_adapters, describe_condition

INTRODUCTION = "Each image differs from its neighbor in one setting. Where the seed is the same, so is the noise."
PLACES = ("Columns", "Rows", "Blocks of rows")
NO_AXIS = "none"


@explain_faults()
def main() -> None:
    """Draw the axes on the left and the sheet on the right."""
    st.caption(INTRODUCTION)
    form = read_form(own_dir())
    manifests = {manifest.name: manifest for manifest in studio().checkpoints()}
    presets = {preset.name: preset for preset in studio().presets()}
    if form is None or form.checkpoint not in manifests:
        draw_hint("The grid starts from the Generator's form. Open the Generator first.")
        return
    form = replace(form, request=expand_request(form.request)[0])
    left, right = st.columns([2, 3], gap="medium")
    with left:
        draw_base(form, manifests[form.checkpoint])
        axes = draw_axes(form, manifests, presets)
    with right:
        draw_grid(form, axes, manifests, presets)


def draw_base(form: Form, manifest: Manifest) -> None:
    """Draw what all images of the grid have in common."""
    request = fit_request(form.request, manifest)
    settings = (
        manifest.name,
        f"{request.width} px",
        f"seed {request.seed}",
        f"{request.num_inference_steps} steps of {request.scheduler}",
        f"guidance {request.guidance_scale}",
        f"eta {request.eta:g}" if request.eta else "",
        f"with {describe_adapters(request.adapters)}" if request.adapters else "",
    )
    st.text(describe_condition(request.condition, class_titles(manifest.labels)))
    st.caption(escape_markdown(" · ".join(filter(None, settings))))
    st.page_link("create/generate.py", label="Change this on the Generator", icon=":material/edit:")


def draw_axes(form: Form, manifests: Mapping[str, Manifest], presets: Mapping[str, Preset]) -> tuple[Axis, ...]:
    """Draw the choice of axes and their values; StudioError where a value is none."""
    manifest = manifests[form.checkpoint]
    left_out = CLASS if reads_prompts(manifest) else PROMPT
    names = [name for name in AXES if name != left_out]
    axes = []
    for place, first in zip(PLACES, (GUIDANCE, NO_AXIS, NO_AXIS), strict=True):
        key = f"grid_{place}"
        if st.session_state.get(key) not in (NO_AXIS, *names):
            st.session_state[key] = first
        name = st.selectbox(place, [NO_AXIS, *names], key=key, persist_state="session")
        if name != NO_AXIS:
            axes.append(Axis(name, draw_values(name, key, form, manifests, presets)))
    return tuple(axes)


def draw_values(
    name: str, key: str, form: Form, manifests: Mapping[str, Manifest], presets: Mapping[str, Preset]
) -> tuple[str | int | float, ...]:
    """Draw the values of an axis. StudioError where one is none."""
    manifest = manifests[form.checkpoint]
    key = f"{key} {name} of {manifest.name}"
    if name == PROMPT:
        st.session_state.setdefault(key, describe_condition(form.request.condition))
        text = st.text_area("Prompts, one on a line", key=key, persist_state="session")
        return tuple(prompt for line in text.splitlines() if line.strip() for prompt in expand_prompt(line))
    choices: dict[str, dict[str, str]] = {
        CLASS: class_titles(manifest.labels),
        SCHEDULER: {scheduler: scheduler for scheduler in manifest.schedulers},
        ENHANCEMENT: {preset: preset for preset in presets},
        CHECKPOINT: {one.name: one.name for one in _list_alike(manifest, manifests.values())},
    }
    if name in choices:
        titles = choices[name]
        st.session_state.setdefault(key, list(titles)[:3])
        return tuple(st.multiselect("Values", titles, key=key, format_func=titles.__getitem__, persist_state="session"))
    is_whole = name != GUIDANCE
    st.session_state.setdefault(key, {GUIDANCE: "1, 3, 5"}.get(name, "0-3" if name == "Seed" else "2, 4, 8"))
    text = st.text_input(
        "Values", key=key, persist_state="session", help="Numbers such as " + ("1-4, 9" if is_whole else "1, 2.5")
    )
    return read_numbers(text, is_whole=is_whole)


def _list_alike(manifest: Manifest, manifests: Iterable[Manifest]) -> list[Manifest]:
    """The checkpoints that draw for the same conditions."""
    is_prompted = reads_prompts(manifest)
    alike = [one for one in manifests if reads_prompts(one) == is_prompted and one.labels == manifest.labels]
    return [manifest, *(one for one in alike if one != manifest)]


def draw_grid(
    form: Form, axes: Sequence[Axis], manifests: Mapping[str, Manifest], presets: Mapping[str, Preset]
) -> None:
    """Draw the button and the sheet of these axes."""
    preset = presets.get(form.preset, PRESETS[0])
    cells = plan_cells(Cell(form.request, form.checkpoint, preset), axes, manifests, presets)
    key = f"grid {hashlib.sha256(repr(cells).encode()).hexdigest()[:16]}"
    work = partial(draw_cells, cells, len(axes[0].values), studio(), own_dir())
    start_button(f"Draw {count_text(len(cells), 'image')}", key, lambda: work, key="grid_start", shortcut="Ctrl+Enter")
    found: DrawnGrid | None = draw_job(key, "The sheet appears here. Canceled, it goes on where it was.")
    if found is not None:
        sheet = _encode(found, key)
        st.image(sheet, width="stretch", output_format="PNG", alt=f"{len(found.cells)} synthetic images")
        reused = f" {found.num_reused} of them were drawn before." if found.num_reused else ""
        st.caption(f"{count_text(len(found.cells), 'image')}, each in the gallery.{reused}")
        st.download_button(
            "Sheet PNG", sheet, "grid.png", "image/png", key="grid_png", icon=":material/download:", on_click="ignore"
        )


@st.cache_data(max_entries=4, show_spinner=False, scope="session", hash_funcs={DrawnGrid: lambda _: 0})
def _encode(found: DrawnGrid, key: str) -> bytes:  # noqa: ARG001 - which grid it is
    return encode_grid(found)


main()
