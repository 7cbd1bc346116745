"""Generator: a prompt or a class becomes images, with progress, cancel, and the recipe inside every download."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.create.generate_analysis import draw_trajectory, draw_words
from pages.kit import checkpoints
from pages.kit.checkpoints import pick_checkpoint
from pages.kit.facts import draw_facts
from pages.kit.jobs import draw_error, draw_job, keep_error, start_button
from pages.kit.sampling import (
    MAX_FIELD_SEED,
    draw_guidance,
    draw_scheduler,
    draw_seed,
    draw_steps,
    field_key,
    fill_generator,
    lock_seed,
    pick_class,
    set_recommended,
)
from pages.kit.services import escape_markdown, preload, studio
from pages.kit.viewer import draw_viewer
from postprocess.cost import measure_cost
from postprocess.presets import PRESETS, Preset, get_preset
from xray_generator.checkpoints import Manifest
from xray_generator.data.rows import SEX_NAMES
from xray_generator.data.vocabulary import Vocabulary, compose_prompt
from xray_generator.dicom.hounsfield import WINDOWS, Window
from xray_generator.export.pictures import Picture, archive, pictures
from xray_generator.export.recipe import read_recipe
from xray_generator.gallery import differences
from xray_generator.jobs import Work
from xray_generator.registry import modality, reads_prompts
from xray_generator.requests import check_condition, describe_condition, make_request, read_condition, resolve_seed
from xray_generator.types import (
    MAX_IMAGES,
    MAX_PROMPT_CHARACTERS,
    ClassLabel,
    Condition,
    GenerationResult,
    Image,
    StudioError,
    TextPrompt,
)

ONE_IMAGE_PX, GRID_PX, WINDOW_PX = 380, 540, 90  # what stands around the viewer, so that all of it fits the window
THUMBNAILS_PER_ROW = 8


def main() -> None:
    """Draw the form on the left and its result on the right."""
    form, result = st.columns([2, 3], gap="medium")
    with form:
        try:
            manifest = pick_checkpoint()
            preset = draw_form(manifest)
        except StudioError as error:
            st.error(escape_markdown(error))
            return
    with result:
        draw_result(preset)
    preload(manifest.name)


# The form


def draw_form(manifest: Manifest) -> Preset:
    """Draw what is asked for, the button and the settings; return the enhancement preset."""
    set_recommended(manifest)
    for key, value in {"num_images": 1, "seed": 0, "new_seed": True, "preset": PRESETS[0].name}.items():
        st.session_state.setdefault(key, value)
    if reads_prompts(manifest):
        draw_prompt(manifest)
    else:
        pick_class(manifest, "label", any_title="any" if manifest.unconditional else "")
    start_button("Generate", "job", partial(make_work, manifest), key="generate", shortcut="Ctrl+Enter")
    with st.container():  # always there, so that a message does not rebuild the fields below
        if restored := st.session_state.get("restored"):
            st.info(restored)
        draw_error("restored")
    return draw_settings(manifest)


def make_work(manifest: Manifest) -> Work:
    """The job that generates and saves what the form asks for. StudioError where a value is not allowed."""
    state, name = st.session_state, manifest.name
    seed = resolve_seed(None) if state["new_seed"] else state["seed"]
    request = make_request(
        read_form_condition(manifest),
        seed=seed,
        num_images=state["num_images"],
        size=state[field_key("size", name)],
        steps=state[field_key("steps", name)],
        guidance=state[field_key("guidance", name)],
        scheduler=state[field_key("scheduler", name)],
    )
    preset = get_preset(state["preset"], known_presets())
    state.update({"seed": seed, "selected_image": 0, "restored": ""})
    return partial(studio().generate_and_save, request, name, preset)


def read_form_condition(manifest: Manifest) -> Condition:
    """The prompt or the class of the form. StudioError where it is not allowed."""
    if reads_prompts(manifest):
        return TextPrompt(st.session_state["prompt"])
    return read_condition(manifest, label=st.session_state[field_key("label", manifest.name)] or None)


def draw_prompt(manifest: Manifest) -> None:
    """Draw the prompt, examples from the training captions, and a builder that uses their vocabulary."""
    vocabulary = studio().vocabulary(manifest.name)
    st.session_state.setdefault("prompt", next(iter(vocabulary.example_prompts), ""))
    st.text_area(
        "Prompt",
        key="prompt",
        height=96,
        persist_state="session",
        placeholder="Describe the chest X-ray",
        help=f"Up to {MAX_PROMPT_CHARACTERS:,} characters. Ctrl+Enter generates.",  # max_chars drops a longer text
    )
    with st.container():  # always there, so that a warning does not rebuild the fields below
        if reading := studio().reading(st.session_state["prompt"], manifest.name):
            st.caption(f"Read as: {escape_markdown(reading)}")
        if unseen := studio().unseen_words(st.session_state["prompt"], manifest.name):
            words = ", ".join(f"**{escape_markdown(word)}**" for word in unseen)
            st.warning(f"Not in the training captions, so the effect is unpredictable: {words}")
    examples, builder = st.columns(2)
    examples.selectbox(
        "Example prompts",
        vocabulary.example_prompts,
        index=None,
        key="example",
        on_change=use_example,
        placeholder="Example prompts",
        label_visibility="collapsed",
    )
    with builder.popover("Build a prompt", width="stretch"):
        draw_builder(vocabulary)


def use_example() -> None:
    """Take the chosen example as the prompt, and show the choice empty again."""
    if st.session_state["example"]:
        st.session_state.update({"prompt": st.session_state["example"], "example": None})


@st.fragment
def draw_builder(vocabulary: Vocabulary) -> None:
    """Draw the fields that compose a prompt in the words of the training captions."""
    left, right = st.columns(2)
    view = left.segmented_control("View", vocabulary.views, key="build_view", persist_state="session")
    sex = right.segmented_control(
        "Sex",
        vocabulary.sexes,
        format_func=lambda sex: SEX_NAMES.get(sex, sex).capitalize(),
        key="build_sex",
        persist_state="session",
    )
    age = group = None
    if vocabulary.min_age is not None and vocabulary.max_age is not None:
        age = st.number_input(
            f"Age in years ({vocabulary.min_age} to {vocabulary.max_age} in training)",
            vocabulary.min_age,
            vocabulary.max_age,
            None,
            key="build_age",
            placeholder="any",
            persist_state="session",
        )
    groups = [name for name in ("child", "adolescent") if name in vocabulary.age_groups]  # captions have words for them
    if groups and age is None:
        group = st.segmented_control("Or an age group", groups, key="build_group", persist_state="session")
    counts = {known.finding: f"{known.phrase} ({known.count})" for known in vocabulary.findings}
    findings = st.multiselect(
        "Findings (number of training captions); leave empty for a normal image",
        list(counts),
        key="build_findings",
        format_func=lambda finding: counts.get(finding, finding),
        persist_state="session",
    )
    try:
        text = compose_prompt(view or "", age, sex or "", findings, vocabulary, group or "")
    except StudioError as error:
        st.error(escape_markdown(error))
        return
    st.text(text)
    if st.button(
        "Use this prompt", key="build_use", on_click=st.session_state.update, args=({"prompt": text},), width="stretch"
    ):
        st.rerun()  # the whole page: the prompt is outside this fragment


def draw_settings(manifest: Manifest) -> Preset:
    """Draw the settings and the upload of a PNG that fills the form; return the enhancement preset."""
    first, second, third = st.columns(3), st.columns(3), st.columns([4, 3, 3], vertical_alignment="bottom")
    first[0].selectbox(
        "Resolution",
        studio().sizes(manifest.name),
        key=field_key("size", manifest.name),
        format_func=lambda size: f"{size} x {size}",
        persist_state="session",
        help="Sizes that the checkpoint does not draw itself are upscaled by a second model.",
    )
    first[1].number_input("Images", 1, MAX_IMAGES, key="num_images", persist_state="session")
    preset = pick_preset(first[2])
    draw_steps(second[0], manifest)
    draw_guidance(second[1], manifest)
    draw_scheduler(second[2], manifest)
    draw_seed(
        "seed",
        place=third[0],
        disabled=st.session_state["new_seed"],
        help="Switch off New seed to choose a seed. Image i uses seed + i, counted from 0.",
    )
    third[1].toggle("New seed", key="new_seed", persist_state="session", help="Use a random seed every time.")
    with third[2].popover("From a PNG", width="stretch", help="Fill the form from the recipe inside a PNG."):
        st.file_uploader("A PNG made in this studio", "png", key="recipe_file", on_change=restore, max_upload_size=16)
    return preset


def pick_preset(place: DeltaGenerator) -> Preset:
    """Draw the choice of an enhancement."""
    presets = {preset.name: preset for preset in known_presets(draw_error_as_well=True)}
    if st.session_state["preset"] not in presets:
        st.session_state["preset"] = PRESETS[0].name
    name = place.selectbox(
        "Enhancement",
        list(presets),
        key="preset",
        persist_state="session",
        help="Shown beside the raw image. A change applies to the present result at once.",
    )
    return presets[name]


def known_presets(*, draw_error_as_well: bool = False) -> tuple[Preset, ...]:
    """All presets, or the built-in ones where a saved one is damaged."""
    try:
        return studio().presets()
    except StudioError as error:
        if draw_error_as_well:
            st.error(escape_markdown(error))
        return PRESETS


def restore() -> None:
    """Fill the form from the uploaded PNG; keep for the page what came of it."""
    file = st.session_state["recipe_file"]
    st.session_state["restored"] = ""
    with keep_error("restored"):
        if file is not None:
            st.session_state["restored"] = fill_form(file.getvalue())


def fill_form(data: bytes) -> str:
    """Fill the form from a PNG's recipe; return as Markdown whether Generate makes the same image again."""
    recipe = read_recipe(data)
    request, condition = recipe.request, recipe.request.condition
    if recipe.origin is not None:
        page = "Edit page" if recipe.origin.kind == "edit" else "Live or the Latent space page"
        raise StudioError(f"This image was made on the {page}; the Generator cannot draw it again.")
    manifests = {manifest.name: manifest for manifest in studio().checkpoints()}
    manifest = manifests.get(recipe.checkpoint.name) or studio().manifest()
    upscaler = studio().upscaler_manifest(modality(manifest))
    try:
        check_condition(manifest, condition)
    except StudioError as error:
        raise StudioError(f"This image was made for {describe_condition(condition)[:80]!r}. {error}") from None
    fill_generator(request, manifest, str((recipe.preset or {}).get("name", PRESETS[0].name)))
    st.session_state[checkpoints.KEY] = manifest.name
    if isinstance(condition, TextPrompt):
        st.session_state["prompt"] = condition.text
    else:
        label = condition.label if isinstance(condition, ClassLabel) else ""
        st.session_state[field_key("label", manifest.name)] = label
    studio().engine(manifest.name)  # under its lock, so that two threads never import torch at once
    changes = "\n".join(
        f"- {escape_markdown(text)}"
        for text in differences(recipe, manifest, known_presets(), None if upscaler is None else upscaler.ref)
    )
    if changes:
        return f"The form is filled, but the image may come out differently:\n\n{changes}"
    return "The form is filled. Generate makes this image again."


# The result


@st.fragment
def draw_result(preset: Preset) -> None:
    """Draw one image of the latest result large, raw and enhanced, all of them small, and what led to it."""
    lost = f"This result is no longer in memory. Its images are in {studio().generated_dir}."
    result: GenerationResult | None = draw_job("job", "The images appear here.", height=480, lost=lost)
    if result is None:
        return
    index = min(st.session_state.get("selected_image", 0), len(result.images) - 1)
    raw, *enhanced = pictures(result, index, preset)
    st.text(describe_condition(result.request.condition))
    for note in result.notes:
        st.warning(escape_markdown(note))
    own = find_window(result)
    seen = draw_window(own, result.checkpoint.name, is_enhanced=bool(enhanced)) if own else None
    draw_viewer(
        {
            title: apply_window(picture.image, own, seen)
            for title, picture in zip(("Raw", f"Enhanced: {preset.name}"), (raw, *enhanced), strict=False)
        },
        key="viewer",
        space_px=(ONE_IMAGE_PX if len(result.images) == 1 else GRID_PX) + (WINDOW_PX if own else 0),
        window=seen,
    )
    facts = {
        "Seed": str(result.seeds[index]),
        "Size": f"{result.request.width} x {result.request.height}",
        "Latency": f"{result.latencies_ms[index]:,.0f} ms",
    }
    if enhanced:
        cost = measure_cost(raw.image, enhanced[0].image)
        facts["SSIM to raw"] = f"{cost.ssim_to_raw:.3f}"
        facts["Newly saturated"] = f"{cost.newly_saturated_fraction:.2%}"
        facts["Entropy change"] = f"{cost.entropy_change:+.2f} bit"
    draw_facts(facts, columns=6, min_width=100)
    draw_downloads(result, preset, (raw, *enhanced), own)
    if len(result.images) > 1:
        draw_thumbnails(result, index)
    draw_words(raw)
    draw_trajectory(raw, own)


def draw_downloads(result: GenerationResult, preset: Preset, shown: Sequence[Picture], window: Window | None) -> None:
    """Draw the downloads of the image shown and of the whole result."""
    raw, kind = shown[0], "a CT image in Hounsfield units" if window else "an 8-bit Secondary Capture"
    about_dicom = f"The raw image as {kind}, marked as synthetic in its header."
    zip_name = f"{result.checkpoint.name}_seed{result.request.seed}.zip"
    download = partial(st.download_button, on_click="ignore")
    with st.container(horizontal=True):
        for label, picture in zip(("Raw PNG", "Enhanced PNG"), shown, strict=False):
            download(label, picture.png, picture.file_name, "image/png", key=f"download {label}")
        dicom = partial(raw.dicom, window)
        download("DICOM", dicom, raw.dicom_name, "application/dicom", key="download DICOM", help=about_dicom)
        download("All as ZIP", partial(archive, result, preset), zip_name, "application/zip", key="download all")
        if st.button(
            "Lock this seed",
            key="lock_seed",
            on_click=lock_seed,
            args=(raw.recipe.request.seed,),
            disabled=raw.recipe.request.seed > MAX_FIELD_SEED,
            help="Use it for the next images too.",
        ):
            st.rerun()  # the whole page: the seed's field is outside this fragment


def draw_thumbnails(result: GenerationResult, chosen: int) -> None:
    """Draw all images of a result small, each with a button that shows it large."""
    st.caption(f"{len(result.images)} synthetic images")
    grid = st.grid(THUMBNAILS_PER_ROW, min_column_width=60)
    for index, image in enumerate(result.images):
        with grid.cell():
            st.image(image, width="stretch", output_format="PNG", alt=f"Synthetic image {index + 1}")
            st.button(
                f"{index + 1}",
                key=f"image {index}",
                on_click=st.session_state.update,
                args=({"selected_image": index},),
                width="stretch",
                type="primary" if index == chosen else "secondary",
                help=f"Seed {result.seeds[index]}",
            )


# The window of a CT image


def find_window(result: GenerationResult) -> Window | None:
    """The Hounsfield units that gray 0 to 1 of a result stand for; None for other images than CT."""
    try:
        return studio().manifest(result.checkpoint.full_name).hu_window
    except StudioError:
        return None  # the checkpoint is gone


def draw_window(own: Window, name: str, *, is_enhanced: bool) -> Window:
    """Draw the choice of the window to look through, at first the checkpoint's own; downloads keep theirs."""
    first = next((f"{preset} (as drawn)" for preset, window in WINDOWS.items() if window == own), "as drawn")
    choices = {first: own} | {preset: window for preset, window in WINDOWS.items() if window != own}
    key, level_key, width_key = (field_key(part, name) for part in ("window", "window level", "window width"))
    defaults = {key: first, level_key: round(own.level), width_key: max(1, round(own.width))}
    for field, value in defaults.items():
        st.session_state.setdefault(field, value)
    choice, level, width = st.columns([5, 2, 2], vertical_alignment="bottom")
    chosen = choice.segmented_control(
        "Window",
        [*choices, "custom"],
        key=key,
        required=True,
        persist_state="session",
        help="The part of the CT scale shown from black to white. Downloads are not affected.",
    )
    seen = choices.get(chosen or first)
    if seen is None:
        seen = Window(
            level.number_input("Level (HU)", -2_000, 4_000, step=10, key=level_key, persist_state="session"),
            width.number_input("Width (HU)", 1, 4_000, step=10, key=width_key, persist_state="session"),
        )
    text = f"{seen.low:,.0f} to {seen.high:,.0f} HU."
    if seen.low < own.low or seen.high > own.high:
        text += (
            f" The model knows {own.low:,.0f} to {own.high:,.0f} HU: values outside were clipped and cannot be shown."
        )
    elif seen == own:
        text += " Values outside this range were clipped before training; the model does not know them."
    st.caption(text + (" Gray levels of an enhanced image are no longer true HU." if is_enhanced else ""))
    return seen


def apply_window(image: Image, own: Window | None, seen: Window | None) -> Image:
    """An image of one window as another window shows it."""
    return image if own is None or seen is None or seen == own else seen.apply(own.invert(image))


main()
