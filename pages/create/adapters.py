"""Adapters: what a model draws without and with adapters at the same seed, and a sheet of weight against guidance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.kit.checkpoints import pick_model
from pages.kit.follow import Drawing, draw_all_button, draw_status, follow
from pages.kit.jobs import draw_error, draw_hint, draw_job, keep_error
from pages.kit.sampling import (
    draw_adapters,
    draw_guidance,
    draw_quality,
    draw_scheduler,
    draw_seed,
    draw_steps,
    field_key,
    fill_generator,
    guidance_help,
    read_adapters,
    set_recommended,
)
from pages.kit.services import escape_markdown, explain_faults, preload, studio
from pages.kit.viewer import draw_slider, draw_viewer
from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.difference import difference
from xray_generator.export.pictures import pictures
from xray_generator.export.sheet import SheetRow, encode_sheet
from xray_generator.images import encode_png
from xray_generator.requests import describe_adapters, describe_condition, text_request
from xray_generator.types import NOTICE, AdapterWeight, GenerationRequest, GenerationResult, StudioError

PREFIX = "adapters "  # begins the keys of the sampling fields
JOB, SHOWN, OPEN = "adapters_job", "adapters_shown", "adapters_open"
TRAIN = "python -m xray_generator.train --config chest_xray_lora --dataset_path dataset --output_dir outputs"
INTRODUCTION = "Both images start from the same noise: whatever differs, the adapters changed."
NO_ADAPTER = "No adapter is here yet. One is trained on your images in a small file beside its model:"
BASE, ADAPTED = "Without adapters", "With adapters"
WEIGHTS = (-1.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
GUIDANCES = (1.0, 2.0, 3.0, 5.0, 7.0, 10.0)
SPACE_PX = 330  # what stands above and below the viewer


@st.fragment
@explain_faults()
def main() -> None:
    """Draw the choice on the left, both images on the right, and the sheet below."""
    bases = _find_bases()
    if not bases:
        _draw_nothing()
        return
    st.caption(INTRODUCTION)
    form, result = st.columns([2, 3], gap="medium")
    with form:
        manifest = pick_model(bases, "adapters_base")
        request = _draw_fields(manifest)
        adapters = read_adapters(manifest, PREFIX)
    with result:
        _draw_pair(request, replace(request, adapters=adapters), manifest)
    _draw_grid(request, adapters, manifest)
    preload(manifest.name)


def _find_bases() -> Mapping[str, Manifest]:
    """The checkpoints of which adapters are here, by name."""
    manifests = studio().checkpoints("adapt")
    wanted = {manifest.base for manifest in manifests}
    return {manifest.ref.full_name: manifest for manifest in manifests if manifest.ref in wanted}


def _draw_nothing() -> None:
    """Say how to get an adapter, or whose base is missing."""
    others = {manifest.name: manifest.base.full_name for manifest in studio().checkpoints() if manifest.base}
    for name, base in others.items():
        st.warning(escape_markdown(f"The adapter {name} needs {base} with the weights that it was trained on."))
    if not others:
        st.info(NO_ADAPTER)
        st.code(TRAIN, language="bash", wrap_lines=True)


def _draw_fields(manifest: Manifest) -> GenerationRequest:
    """Draw what is asked for; the request of the image without adapters. StudioError where it is not allowed."""
    first = [known.ref.full_name for known in studio().adapters(manifest)[:1]]
    st.session_state.setdefault(field_key(f"{PREFIX}adapters", manifest.name), first)
    draw_adapters(manifest, PREFIX)
    example = st.session_state.get("prompt") or next(iter(studio().vocabulary(manifest.name).example_prompts), "")
    st.session_state.setdefault("adapters_prompt", example)  # the Generator's
    prompt = st.text_area("Prompt", key="adapters_prompt", height=96, persist_state="session")
    set_recommended(manifest, PREFIX)
    row = st.container(horizontal=True, vertical_alignment="bottom")
    seed = draw_seed("adapters_seed", place=row)
    draw_quality(row, manifest, PREFIX)
    with st.expander("Advanced"):
        scheduler, steps, guidance = st.columns(3)
        draw_scheduler(scheduler, manifest, PREFIX)
        draw_steps(steps, manifest, PREFIX)
        draw_guidance(guidance, manifest, PREFIX)
    names = ("steps", "guidance", "scheduler")
    values = {name: st.session_state[field_key(PREFIX + name, manifest.name)] for name in names}
    return text_request(prompt, seed=seed, size=manifest.sizes[0], **values)


def _draw_pair(without: GenerationRequest, adapted: GenerationRequest, manifest: Manifest) -> None:
    """Draw both images, which follow the fields; until they are there those before, of the same weights."""
    job, error = None, ""
    try:
        results, job = follow((Drawing(manifest.ref, without), Drawing(manifest.ref, adapted)), JOB)
        st.session_state[SHOWN] = results or st.session_state.get(SHOWN)
    except StudioError as fault:
        error = str(fault)
    shown: tuple[GenerationResult, ...] = st.session_state.get(SHOWN) or ()
    if not shown or shown[0].checkpoint != manifest.ref:
        draw_hint("Both images appear here.")
        draw_status(job, None, error)
        return
    before, after = shown
    images = {BASE: before.images[0], ADAPTED: after.images[0]}
    draw_viewer(images, "adapters_viewer", space_px=SPACE_PX)
    draw_status(job, after, error)
    changed = difference(*images.values()).mean_absolute
    st.caption(
        f"The adapters change a pixel by {changed:.2%} of the gray scale on average."
        if changed
        else "Both images are equal to the bit."
    )
    with st.expander("One over the other"):
        left, right = (encode_png(image) for image in images.values())
        draw_slider(left, BASE, right, ADAPTED, ratio=1, key="adapters_slider")
    _draw_actions(before, after)


def _draw_actions(before: GenerationResult, after: GenerationResult) -> None:
    """Draw the downloads of both images, and the way to the Generator."""
    with st.container(horizontal=True):
        for name, (picture,) in ((BASE, pictures(before, 0)), (ADAPTED, pictures(after, 0))):
            st.download_button(
                name,
                picture.png,
                picture.file_name,
                "image/png",
                key=f"adapters_png {name}",
                on_click="ignore",
                icon=":material/download:",
                help="A PNG that contains the recipe to make it again.",
            )
        if (
            st.button(
                "Open in Generator", key=OPEN, icon=":material/open_in_new:", on_click=_open_in_generator, args=(after,)
            )
            and f"{OPEN}_error" not in st.session_state
        ):
            st.switch_page("create/generate.py")
    draw_error(OPEN)


def _open_in_generator(result: GenerationResult) -> None:
    with keep_error(OPEN):
        fill_generator(result.request, studio().manifest(result.checkpoint.full_name))


def _draw_grid(request: GenerationRequest, adapters: Sequence[AdapterWeight], manifest: Manifest) -> None:
    """Draw the choice of weights and guidance, and the sheet that was last asked of this checkpoint."""
    st.subheader("Weight against guidance", anchor=False)
    left, middle, right = st.columns([2, 2, 1], vertical_alignment="bottom")
    weights = _pick_values(left, "Weights", WEIGHTS, (0.0, 0.5, 1.0, 1.5))
    guidances: Sequence[float | None] = (request.guidance_scale,)
    if request.scheduler in manifest.few_steps:
        middle.caption(guidance_help(manifest, is_built_in=True))
    else:
        guidances = _pick_values(middle, "Guidance", GUIDANCES, (1.0, 3.0, 7.0))
    if len(adapters) > 1:
        st.caption(escape_markdown(f"The weight of {adapters[0].adapter.name} varies; the others keep theirs."))
    changes = [(replace(adapters[0], weight=weight), *adapters[1:]) for weight in weights] if adapters else []
    drawings = tuple(
        Drawing(manifest.ref, replace(request, guidance_scale=guidance, adapters=changed))
        for changed in changes
        for guidance in guidances
    )
    key = f"adapters_grid {manifest.ref.sha256}"
    with right:
        draw_all_button("Draw the sheet", drawings, key, key="adapters_grid", disabled=not drawings)
    if key in st.session_state:
        results: tuple[GenerationResult, ...] | None = draw_job(key, "")
        if results:
            _draw_sheet(results)


def _pick_values(place: DeltaGenerator, title: str, values: Sequence[float], first: Sequence[float]) -> list[float]:
    key = f"adapters_{title}"
    st.session_state.setdefault(key, list(first))
    chosen = place.pills(
        title, values, selection_mode="multi", key=key, format_func="{:g}".format, persist_state="session"
    )
    return sorted(chosen)


def _draw_sheet(results: Sequence[GenerationResult]) -> None:
    first = results[0]
    sheet = _encode_grid(results)
    st.image(sheet, output_format="PNG", alt=f"{len(results)} synthetic images")
    st.download_button(
        "Sheet PNG",
        sheet,
        f"{first.checkpoint.name}_seed{first.request.seed}_weight_by_guidance.png",
        "image/png",
        key="adapters_sheet",
        on_click="ignore",
        icon=":material/download:",
        help="All images, a row for each weight and a column for each guidance, labeled.",
    )


def _encode_grid(results: Sequence[GenerationResult]) -> bytes:
    rows = [_label_row(adapters, list(row)) for adapters, row in groupby(results, lambda one: one.request.adapters)]
    return encode_sheet(rows, len(rows[0].images))


def _label_row(adapters: Sequence[AdapterWeight], row: Sequence[GenerationResult]) -> SheetRow:
    request, name = row[0].request, row[0].checkpoint.name
    guidance = ", ".join(f"{result.request.guidance_scale:g}" for result in row)
    sampling = f"guidance {guidance}, seed {request.seed}, {request.num_inference_steps} {request.scheduler} steps"
    words = f"{name} with {describe_adapters(adapters)}, {sampling}: {describe_condition(request.condition)}"
    return SheetRow(f"{NOTICE} {words}", [result.images[0] for result in row])


main()
