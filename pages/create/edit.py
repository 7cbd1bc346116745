"""Edit: the same patient with and without a finding, before and after, and what a classifier says of the change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import streamlit as st

from pages.create.edit_results import draw_many, draw_one
from pages.kit import checkpoints
from pages.kit.checkpoints import pick_checkpoint
from pages.kit.images import pick_upload
from pages.kit.jobs import draw_end, draw_hint, draw_progress, find_job, keep_error, start_button
from pages.kit.results import find_shown
from pages.kit.sampling import (
    check_field_seed,
    draw_guidance,
    draw_quality,
    draw_scheduler,
    draw_seed,
    draw_steps,
    field_key,
    set_recommended,
)
from pages.kit.send import SENT_TO_EDIT
from pages.kit.services import escape_markdown, explain_faults, job_queue, preload, studio
from xray_generator.checkpoints import Manifest
from xray_generator.data.amending import differing_words
from xray_generator.data.prompts import describe_reading, row_of_prompt
from xray_generator.data.rows import SUBTYPES, finding_name
from xray_generator.data.vocabulary import Vocabulary, compose_prompt
from xray_generator.experiments.counterfactual import (
    Counterfactual,
    RepeatedEdit,
    edit_many,
    edit_once,
)
from xray_generator.generation import EditResult
from xray_generator.jobs import Job, Work
from xray_generator.requests import text_request
from xray_generator.types import Edit, GenerationRequest, Image, StudioError, TextPrompt

JOB, ONE, MANY = "edit_job", "edit_one", "edit_many"  # in the session: the latest job, and the latest of each kind
KIND, SEED, STRENGTH, METHOD, COUNT = "edit_kind", "edit_seed", "edit_strength", "edit_method", "edit_count"
NOW, TARGET, WITH = "edit_now", "edit_target", "edit_with"
GENERATED, UPLOADED = "Generated", "Upload"
COUNTS = (1, 4, 8, 16)
METHODS = {"inversion": "Keep the patient", "noise": "Redraw from the seed"}

ResultT = TypeVar("ResultT", Counterfactual, RepeatedEdit)


@explain_faults()
def main() -> None:
    """Draw the form on the left and its result on the right."""
    if sent := st.session_state.pop(SENT_TO_EDIT, None):
        _take(sent)
    form, result = st.columns([2, 3], gap="medium")
    with form:
        manifest = pick_checkpoint("edit")
        _draw_form(manifest)
    with result:
        _draw_results(find_job(JOB), manifest)
    preload(manifest.name)


def _draw_form(manifest: Manifest) -> None:
    """Draw the fields and last the button, which on a phone the result follows."""
    is_upload = _pick_kind()
    source = _draw_upload() if is_upload else None
    _draw_prompts(manifest, is_upload=is_upload)
    _draw_settings(manifest, is_upload=is_upload)
    is_missing = is_upload and source is None
    start_button(
        f"Edit {count} patients" if (count := _count_patients(is_upload=is_upload)) > 1 else "Edit",
        JOB,
        partial(_make_work, manifest, source, is_upload=is_upload),
        key="edit",
        disabled=is_missing,
        shortcut="Ctrl+Enter",
        help="Upload an image first." if is_missing else None,
    )


def _pick_kind() -> bool:
    """Draw the choice of the image to edit; whether it is an upload."""
    st.session_state.setdefault(KIND, GENERATED)
    kinds, take = st.columns([3, 2], vertical_alignment="bottom")
    kind = kinds.segmented_control(
        "Image to edit", (GENERATED, UPLOADED), required=True, key=KIND, persist_state="session"
    )
    shown = _find_generator_image()
    take.button(
        "From the Generator",
        key="edit_take",
        on_click=_take,
        args=(shown,),
        disabled=shown is None,
        width="stretch",
        help="Use the Generator's current prompt, seed and settings."
        if shown
        else "The Generator shows no image drawn from a prompt without adapters and eta.",
    )
    return kind == UPLOADED


def _draw_upload() -> Image | None:
    field, preview = st.columns([3, 1], vertical_alignment="bottom")
    source = pick_upload("edit", place=field)
    if source is None:
        return None
    preview.image(source.image, width="stretch", output_format="PNG", alt="The uploaded image")
    height, width = source.image.shape
    crop = "" if height == width else "; its central square is used"
    st.caption(escape_markdown(f"{source.origin} · {width} x {height} pixels{crop}"))
    return source.image


def _find_generator_image() -> tuple[GenerationRequest, str] | None:
    """The request of the image that the Generator shows, and the name of its checkpoint."""
    result = find_shown(st.session_state.get(checkpoints.KEY, ""))
    if result is None or not isinstance(result.request.condition, TextPrompt):
        return None
    if result.request.adapters or result.request.eta:  # for which this form has no field
        return None
    index = min(st.session_state.get("selected_image", 0), len(result.images) - 1)
    return replace(result.request, num_images=1, seed=result.seeds[index]), result.checkpoint.name


def _take(shown: tuple[GenerationRequest, str]) -> None:
    """Put the image of the Generator into the form."""
    request, name = shown
    with keep_error(JOB):
        manifest = next((manifest for manifest in studio().checkpoints("edit") if manifest.name == name), None)
        if manifest is None:
            raise StudioError(f"The checkpoint {name} is no longer here.")
        check_field_seed(request.seed)
        if request.height not in manifest.sizes or request.scheduler not in manifest.schedulers:
            raise StudioError(f"{manifest.name} no longer draws an image of this size or with this scheduler.")
        assert isinstance(request.condition, TextPrompt)
        values = {
            "size": request.height,
            "scheduler": request.scheduler,
            "steps": request.num_inference_steps,
            "guidance": request.guidance_scale,
        }
        st.session_state.update({field_key(f"edit {name}", manifest.name): value for name, value in values.items()})
        st.session_state.update({NOW: request.condition.text, SEED: request.seed})
        st.session_state.update({checkpoints.KEY: manifest.name, KIND: GENERATED})
        findings = row_of_prompt(st.session_state.get(TARGET, "")).findings
        if text := _compose(request.condition.text, findings, studio().vocabulary(manifest.name)):
            st.session_state[TARGET] = text


def _now_key(*, is_upload: bool) -> str:
    """The session's key of the prompt of the current content: an upload has its own, which may be empty."""
    return f"{NOW} of an upload" if is_upload else NOW


def _draw_prompts(manifest: Manifest, *, is_upload: bool) -> None:
    """Draw the prompt of the current content, the one to change to, and switches for the findings."""
    vocabulary, key = studio().vocabulary(manifest.name), _now_key(is_upload=is_upload)
    known = [phrase.finding for phrase in vocabulary.findings]
    first = ["pleural_effusion"] if "pleural_effusion" in known else known[:1]
    example = next(iter(vocabulary.example_prompts), "")
    st.session_state.setdefault(key, "" if is_upload else _compose(example, (), vocabulary))
    st.session_state.setdefault(TARGET, _compose(example, first, vocabulary))
    st.text_area(
        "Before (prompt, optional)" if is_upload else "Before (prompt)",
        key=key,
        height=68,
        persist_state="session",
        help="A description makes the inversion more accurate." if is_upload else "The patient is drawn from this.",
    )
    st.text_area("After (prompt)", key=TARGET, height=68, persist_state="session")
    _draw_switches(vocabulary, known, key)
    with st.container():  # always there, so that a message does not rebuild the fields below
        _draw_doubts(st.session_state[key], st.session_state[TARGET], manifest)


def _draw_doubts(now: str, target: str, manifest: Manifest) -> None:
    """Say where the change may not be what was meant: words that are not known, or prompts that mean the same."""
    if unseen := studio().unseen_words(target, manifest.name):
        st.warning(f"The model does not know these words; they change the image at random: {_list_words(unseen)}")
    words = differing_words(now, target) if now else None
    if words is None:
        return
    if not words:
        st.warning(
            "Both prompts mean the same, so before and after would compare two wordings of one description. "
            "Choose a finding, or describe a change."
        )
    elif reading := describe_reading(row_of_prompt(now)):
        st.info(f"Both prompts are read alike ({escape_markdown(reading)}); they differ only in: {_list_words(words)}")


def _list_words(words: Sequence[str]) -> str:
    return ", ".join(f"**{escape_markdown(word)}**" for word in words)


def _draw_switches(vocabulary: Vocabulary, known: Sequence[str], key: str) -> None:
    present = [finding for finding in row_of_prompt(st.session_state[TARGET]).findings if finding in known]
    st.session_state[WITH] = present
    st.pills(
        "Findings after the change",
        known,
        selection_mode="multi",
        format_func=finding_name,
        key=WITH,
        on_change=_switch,
        args=(vocabulary, key, tuple(present)),
        wrap=True,
        help="Rewrites the prompt after: the view, age and sex of the one before, with these findings.",
    )
    now = st.session_state[key]
    alike = _compose(now, row_of_prompt(now).findings, vocabulary) if now else ""
    if alike and alike != now:
        st.button(
            "Use the same wording above",
            key="edit_alike",
            type="tertiary",
            on_click=st.session_state.update,
            args=({key: alike},),
            help="Rewrites the prompt before, so that the two differ only in the findings. A generated patient changes "
            "slightly.",
        )


def _switch(vocabulary: Vocabulary, key: str, before: tuple[str, ...]) -> None:
    chosen = list(st.session_state[WITH])
    if "pneumonia" in before and "pneumonia" not in chosen:  # a kind of pneumonia goes with it
        chosen = [finding for finding in chosen if finding not in SUBTYPES]
    if text := _compose(st.session_state[key] or st.session_state[TARGET], chosen, vocabulary):
        st.session_state[TARGET] = text


def _compose(prompt: str, findings: Sequence[str], vocabulary: Vocabulary) -> str:
    """The patient of a prompt with these findings, worded as the captions are; empty where they have no words."""
    row = row_of_prompt(prompt)
    try:
        return compose_prompt(row.view[:2], row.age, row.sex, findings, vocabulary, row.age_group)
    except StudioError:
        return ""


def _count_patients(*, is_upload: bool) -> int:
    return 1 if is_upload else int(st.session_state[COUNT])


def _draw_settings(manifest: Manifest, *, is_upload: bool) -> None:
    """Draw how far the edit goes, its seed and, under Advanced, what has good values."""
    set_recommended(manifest, "edit ")
    for key, value in {STRENGTH: 0.7, METHOD: "inversion", COUNT: 1}.items():
        st.session_state.setdefault(key, value)
    if is_upload:
        st.segmented_control(
            "Method",
            list(METHODS),
            format_func=METHODS.__getitem__,
            required=True,
            key=METHOD,
            persist_state="session",
            help="Keep the patient: finds the noise that leads to this image (DDIM inversion) and denoises it with the "
            "new prompt. Redraw: adds noise and denoises it again (SDEdit); each seed gives another result.",
        )
    strength = st.slider(
        "Strength",
        0.0,
        1.0,
        step=0.05,
        format="percent",
        key=STRENGTH,
        persist_state="session",
        help="Low: keeps the patient, small change. High: follows the prompt, the patient may change.",
    )
    if is_upload:
        st.caption(f"The image is taken {strength:.0%} of the way to noise, and from there to the new prompt.")
    else:
        st.caption(f"The first {1 - strength:.0%} of the steps are shared; the last {strength:.0%} use the new prompt.")
    left, right = st.columns(2, vertical_alignment="bottom")
    is_seedless = is_upload and st.session_state[METHOD] == "inversion"
    draw_seed(SEED, place=left, disabled=is_seedless, help="This method draws no noise." if is_seedless else None)
    if not is_upload:
        right.segmented_control(
            "Number of patients",
            COUNTS,
            required=True,
            key=COUNT,
            persist_state="session",
            help="One patient is an example; many show whether the model draws the finding and leaves the rest alone. "
            "Their seeds follow this one.",
        )
        draw_quality(st.container(), manifest, "edit ")
    with st.expander("Advanced"):
        _draw_advanced(manifest, is_upload=is_upload)


def _draw_advanced(manifest: Manifest, *, is_upload: bool) -> None:
    first, second = st.columns(2), st.columns(2)
    used = "ddim" if is_upload else ""
    draw_scheduler(
        first[0],
        manifest,
        "edit ",
        fixed="Uploaded images are always edited with DDIM, which can be inverted." if is_upload else "",
    )
    draw_steps(first[1], manifest, "edit ", scheduler=used)
    draw_guidance(second[0], manifest, "edit ", scheduler=used)
    if len(manifest.sizes) > 1:
        key = field_key("edit size", manifest.name)
        second[1].selectbox("Size", manifest.sizes, key=key, persist_state="session")


def _make_work(manifest: Manifest, source: Image | None, *, is_upload: bool) -> Work:
    """The job of the form's current values. StudioError where a value is not allowed, or nothing is to change."""
    state = st.session_state
    now = state[_now_key(is_upload=is_upload)]
    request = text_request(
        state[TARGET] if is_upload else now,
        seed=state[SEED],
        size=state[field_key("edit size", manifest.name)],
        steps=state[field_key("edit steps", manifest.name)],
        guidance=state[field_key("edit guidance", manifest.name)],
        scheduler=None if is_upload else state[field_key("edit scheduler", manifest.name)],
    )
    edit = Edit(state[TARGET], state[STRENGTH], now, state[METHOD] if is_upload else "inversion")
    if not is_upload and edit.prompt == edit.source_prompt:
        raise StudioError("Both prompts are the same. Describe a change under “After (prompt)”.")
    encoders, name = studio().encoder_root, manifest.ref.full_name
    if (count := _count_patients(is_upload=is_upload)) == 1:
        return studio().task(edit_once, source, request, edit, encoders, checkpoint=name)
    return studio().task(edit_many, request, edit, count, encoders, checkpoint=name)


def _draw_results(job: Job | None, manifest: Manifest) -> None:
    """Draw what the edits of this checkpoint and of this kind of image brought, or how the latest one stands."""
    if job is not None and not job.is_over:
        draw_progress(job)
        return
    if job is not None:
        draw_end(job)
    one, many = _find_result(job, ONE, Counterfactual), _find_result(job, MANY, RepeatedEdit)
    one = one if one is not None and _fits(one.edit, manifest) else None
    many = many if many is not None and _fits(many.edits[0], manifest) else None
    if one is None and many is None:
        if JOB in st.session_state and job is None:
            st.info("This result is no longer in memory. Edit once more.")
        elif job is None or job.state == "done":
            draw_hint("Before, after and their difference appear here.", 480)
        return
    tabs = {"One patient": one, "Many patients": many}
    names = [name for name, found in tabs.items() if found is not None]
    latest = names[-1] if many is not None and job is not None and job.result is many else names[0]
    for name, tab in zip(names, st.tabs(names, default=latest), strict=True):
        with tab:
            if name == "One patient" and one is not None:
                draw_one(one)
            elif many is not None:
                draw_many(many)


def _fits(found: EditResult, manifest: Manifest) -> bool:
    """Whether an edit belongs beside the form: of its checkpoint, and of an upload only where one is asked for."""
    edit = found.after.origin
    is_upload = isinstance(edit, Edit) and bool(edit.image_sha256)
    return found.after.checkpoint == manifest.ref and is_upload == (st.session_state[KIND] == UPLOADED)


def _find_result(job: Job | None, key: str, kind: type[ResultT]) -> ResultT | None:
    """The last result of a kind that is still in memory."""
    if job is not None and isinstance(job.result, kind):
        st.session_state[key] = job.id
    kept = job_queue().get(st.session_state.get(key, ""))
    return kept.result if kept is not None and isinstance(kept.result, kind) else None


main()
