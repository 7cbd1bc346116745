"""Live: the image follows the prompt, its chips and the sliders, or the slider between two prompts and seeds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import streamlit as st

from pages.kit.checkpoints import pick_checkpoint
from pages.kit.follow import Drawing, between, draw_followed, draw_strip, draw_strip_button, draw_weight
from pages.kit.jobs import draw_error, keep_error
from pages.kit.sampling import draw_seed, field_key, fill_generator, guidance_help
from pages.kit.services import escape_markdown, explain_faults, preload, studio
from xray_generator.checkpoints import Manifest
from xray_generator.data.amending import amend_prompt
from xray_generator.data.prompts import row_of_prompt
from xray_generator.data.rows import SEX_NAMES, SUBTYPES, Row, finding_name
from xray_generator.data.vocabulary import Vocabulary
from xray_generator.registry import offers
from xray_generator.requests import text_request
from xray_generator.types import GenerationRequest, GenerationResult, TextPrompt

ONE, TWO = "One image", "Between two"
ENDS = ("A", "B")
SLIDER_SEED, SLIDER_STEPS, SLIDER_GUIDANCE, FAST_STEPS = 999, 20, 10.0, 8
AGE_STEP = 5
HISTORY, MAX_HISTORY = "live_history", 50  # in the session: the prompts before the chips changed them, the latest last


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a live image is drawn with, beside its prompt and its seed."""

    size: int
    steps: int
    guidance: float
    scheduler: str

    def request(self, prompt: str, seed: int) -> GenerationRequest:
        """The request for one image. StudioError where the prompt is not allowed."""
        return text_request(
            prompt, seed=seed, size=self.size, steps=self.steps, guidance=self.guidance, scheduler=self.scheduler
        )


@st.fragment
@explain_faults()
def main() -> None:
    """Draw the image, first on a phone too, and beside it what it follows; only this runs again at a change."""
    image, controls = st.columns(2, gap="medium")
    drawing: Drawing | None = None
    with controls:
        fields = st.container()  # above the picker: near the image on a phone
        manifest = pick_checkpoint(prompted=True)
        with explain_faults(), fields:
            drawing = draw_controls(manifest)
    with image:
        draw_followed(drawing, manifest.ref, "live", draw_actions)
        draw_error("live_open")
    if st.session_state.get("live_mode") == TWO:
        draw_strip(manifest.ref, "live")
    preload(manifest.name)


def draw_controls(manifest: Manifest) -> Drawing | None:
    """Draw all fields; the image that they ask for, if any. StudioError where a value is not allowed."""
    vocabulary = studio().vocabulary(manifest.name)
    example = st.session_state.get("prompt") or next(iter(vocabulary.example_prompts), "")  # the Generator's prompt
    first: dict[str, Any] = {"live_mode": ONE, "live_prompt": example, "live_seed": 0, HISTORY: []}
    for key, value in first.items():
        st.session_state.setdefault(key, value)
    mode = st.segmented_control(
        "Mode",
        (ONE, TWO),
        key="live_mode",
        required=True,
        label_visibility="collapsed",
        width="stretch",
        persist_state="session",
    )
    if mode == TWO:
        return draw_two(manifest)
    field, button = st.columns([4, 1], vertical_alignment="bottom")
    field.text_input(
        "Prompt",
        key="live_prompt",
        live=True,
        persist_state="session",
        placeholder="Describe the chest X-ray",
        help="The image and the chips below follow as you type. A chip changes its own words and keeps the others.",
    )
    button.button(
        "Undo",
        key="live_undo",
        on_click=undo,
        disabled=not st.session_state[HISTORY],
        width="stretch",
        help="Back to the prompt before the last chip.",
    )
    draw_chips(vocabulary)
    slider, button = st.columns([4, 1], vertical_alignment="bottom")
    seed = slider.slider("Seed", 0, SLIDER_SEED, key="live_seed", persist_state="session")
    button.button("Next", key="live_next", on_click=use_next_seed, width="stretch", help="Next seed, same prompt.")
    return Drawing(manifest.ref, draw_sampling(manifest).request(st.session_state["live_prompt"], seed))


def draw_two(manifest: Manifest) -> Drawing | None:
    """Draw prompt and seed of A and B and the slider between them; the image that they ask for, if it can be drawn."""
    if not offers(manifest, "morph"):
        st.info(f"{escape_markdown(manifest.name)} cannot interpolate between two images. Choose “{ONE}”.")
        return None
    ends = []
    for index, name in enumerate(ENDS):
        st.session_state.setdefault(f"live_prompt_{name}", st.session_state["live_prompt"])
        left, right = st.columns([3, 1])
        prompt = left.text_input(name, key=f"live_prompt_{name}", live=True, persist_state="session")
        first = st.session_state["live_seed"] + index
        ends.append((prompt, draw_seed(f"live_seed_{name}", f"Seed of {name}", first=first, place=right)))
    weight = draw_weight("live_weight")
    sampling = draw_sampling(manifest)
    first, second = (sampling.request(*end) for end in ends)
    left, right = st.columns(2, vertical_alignment="bottom")
    st.session_state.setdefault("live_count", 7)
    count = left.select_slider("Images in the strip", range(5, 10), key="live_count", persist_state="session")
    with right:
        draw_strip_button(manifest.ref, first, second, count, "live")
    return between(manifest.ref, first, second, weight)


def draw_sampling(manifest: Manifest) -> Sampling:
    """Draw the sliders of guidance and steps; use a distilled scheduler if there is one, else start at few steps."""
    recommended = manifest.recommended
    distilled, most = next(iter(manifest.few_steps.items()), ("", SLIDER_STEPS))
    steps_key, guidance_key = (f"live_{field_key(name, manifest.name)}" for name in ("steps", "guidance"))
    fast = min(most if distilled else FAST_STEPS, recommended.num_inference_steps)
    st.session_state[steps_key] = min(st.session_state.get(steps_key, fast), most)
    st.session_state.setdefault(guidance_key, float(recommended.guidance_scale))
    left, right = st.columns(2)
    guidance = left.slider(
        "Guidance",
        1.0,
        max(SLIDER_GUIDANCE, float(recommended.guidance_scale)),
        step=0.5,
        key=guidance_key,
        persist_state="session",
        disabled=bool(distilled),
        help=guidance_help(manifest, is_built_in=bool(distilled)),
    )
    steps = 1
    if most > 1:
        steps = right.slider(
            "Steps", 1, most, key=steps_key, persist_state="session", help="Fewer: faster. More: finer detail."
        )
    return Sampling(manifest.sizes[0], steps, guidance, distilled or recommended.scheduler)


def draw_chips(vocabulary: Vocabulary) -> None:
    """Draw what the prompt says of view, sex, age and findings, as choices that change its words."""
    row = row_of_prompt(st.session_state["live_prompt"])
    ages: list[int | None] = [None]
    if vocabulary.min_age is not None and vocabulary.max_age is not None:
        known = {age for age in range(AGE_STEP, vocabulary.max_age + 1, AGE_STEP) if age >= vocabulary.min_age}
        ages += sorted(known | ({row.age} if row.age is not None else set()))
    phrases = {known.finding: known.phrase.removeprefix("a ") for known in vocabulary.findings}
    diseases = [finding for finding in row.findings if finding != "no_finding"]
    phrases |= {finding: finding_name(finding) for finding in diseases if finding not in phrases}
    st.session_state.update(
        {
            "live_view": next((view for view in (row.view, row.view[:2]) if view in vocabulary.views), None),
            "live_sex": row.sex if row.sex in vocabulary.sexes else None,
            "live_age": row.age if row.age in ages else None,
            "live_findings": diseases,
        }
    )
    change = partial(change_prompt, vocabulary, row)
    view, sex, age = st.columns([2, 3, 4])
    if vocabulary.views:
        view.pills("View", vocabulary.views, key="live_view", on_change=change, args=("view",))
    if vocabulary.sexes:
        sex.pills(
            "Sex",
            vocabulary.sexes,
            key="live_sex",
            format_func=lambda sex: SEX_NAMES.get(sex, sex).capitalize(),
            on_change=change,
            args=("sex",),
        )
    if len(ages) > 1:
        age.select_slider(
            "Age",
            ages,
            key="live_age",
            format_func=lambda a: "any" if a is None else f"{a} years",
            on_change=change,
            args=("age",),
        )
    st.pills(
        "Findings",
        list(phrases),
        selection_mode="multi",
        key="live_findings",
        format_func=phrases.__getitem__,
        on_change=change,
        args=("findings",),
        wrap=True,
        help="None: a normal image, or one of which the prompt says nothing.",
    )


def change_prompt(vocabulary: Vocabulary, row: Row, name: str) -> None:
    """Let the prompt, which was read as `row`, say what a chip says now; the prompt before is kept for `undo`."""
    state = st.session_state
    chosen, facts = state[f"live_{name}"], dict[str, Any]()
    match name:
        case "findings":
            if "pneumonia" in row.findings and "pneumonia" not in chosen:  # a kind of pneumonia goes with it
                chosen = [finding for finding in chosen if finding not in SUBTYPES]
            facts = {"findings": tuple(chosen) or ("no_finding",)}
        case "age":
            facts = {"age": chosen, "age_group": ""}
        case _:
            facts = {name: chosen or ""}
    state[HISTORY] = [*state[HISTORY], state["live_prompt"]][-MAX_HISTORY:]
    state["live_prompt"] = amend_prompt(state["live_prompt"], replace(row, **facts), vocabulary)


def undo() -> None:
    """Take back what the last chip did to the prompt."""
    *before, st.session_state["live_prompt"] = st.session_state[HISTORY]
    st.session_state[HISTORY] = before


def use_next_seed() -> None:
    """Step the seed by one, from the last to 0."""
    st.session_state["live_seed"] = (st.session_state["live_seed"] + 1) % (SLIDER_SEED + 1)


def draw_actions(result: GenerationResult) -> None:
    """Draw what can be done with an image that was drawn from one prompt."""
    if result.origin is not None:
        return
    for name in ENDS:
        st.button(f"Use as {name}", key=f"live_use_{name}", on_click=use_as, args=(name, result.request))
    if (
        st.button(
            "Open in Generator",
            key="live_open",
            icon=":material/open_in_new:",
            on_click=open_in_generator,
            args=(result,),
        )
        and "live_open_error" not in st.session_state
    ):
        st.switch_page("create/generate.py")


def use_as(name: str, request: GenerationRequest) -> None:
    """Take the prompt and the seed of an image as A or B."""
    assert isinstance(request.condition, TextPrompt)
    st.session_state.update({f"live_prompt_{name}": request.condition.text, f"live_seed_{name}": request.seed})
    st.toast(f"Used as {name}. Choose “{TWO}” to see what lies between A and B.")


def open_in_generator(result: GenerationResult) -> None:
    """Fill the Generator's form with prompt, seed and settings of an image."""
    with keep_error("live_open"):
        fill_generator(result.request, studio().manifest(result.checkpoint.full_name))


main()
