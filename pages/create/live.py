"""Live: the image follows the prompt and the sliders, or the slider between two prompts and seeds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import streamlit as st

from pages.kit.checkpoints import KEY as CHECKPOINT
from pages.kit.checkpoints import pick_checkpoint
from pages.kit.follow import Drawing, between, draw_followed, draw_strip, draw_strip_button, draw_weight
from pages.kit.jobs import draw_error, keep_error
from pages.kit.sampling import draw_seed, field_key, fill_generator, guidance_help
from pages.kit.services import escape_markdown, preload, studio
from xray_generator.checkpoints import Manifest
from xray_generator.data.rows import SEX_NAMES
from xray_generator.data.vocabulary import Vocabulary, compose_prompt
from xray_generator.registry import offers
from xray_generator.requests import text_request
from xray_generator.types import GenerationRequest, GenerationResult, StudioError, TextPrompt

ONE, TWO = "One image", "Between two"
ENDS = ("A", "B")
SLIDER_SEED, SLIDER_STEPS, SLIDER_GUIDANCE, FAST_STEPS = 999, 20, 10.0, 8
ANY_AGE, AGE_STEP = 0, 5


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
def main() -> None:
    """Draw the image, first on a phone too, and beside it what it follows; only this runs again at a change."""
    image, controls = st.columns(2, gap="medium")
    drawing: Drawing | None = None
    with controls:
        fields = st.container()  # above the picker: near the image on a phone
        try:
            manifest = pick_checkpoint(prompted=True)
        except StudioError as error:
            st.error(escape_markdown(error))
            return
        try:
            with fields:
                drawing = draw_controls(manifest)
        except StudioError as error:
            st.error(escape_markdown(error))
    with image:
        draw_followed(drawing, "live", draw_actions)
        draw_error("live_open")
    if st.session_state.get("live_mode") == TWO:
        draw_strip("live")
    preload(manifest.name)


def draw_controls(manifest: Manifest) -> Drawing | None:
    """Draw all fields; the image that they ask for, if any. StudioError where a value is not allowed."""
    vocabulary = studio().vocabulary(manifest.name)
    example = st.session_state.get("prompt") or next(iter(vocabulary.example_prompts), "")  # the Generator's prompt
    for key, value in {"live_mode": ONE, "live_prompt": example, "live_seed": 0, "live_age": ANY_AGE}.items():
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
    st.text_input(
        "Prompt",
        key="live_prompt",
        live=True,
        on_change=clear_chips,
        persist_state="session",
        placeholder="Describe the chest X-ray",
        help="The image follows as you type.",
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
    """Draw choices from the vocabulary of the training captions, which write the prompt."""
    write = partial(write_prompt, vocabulary)
    view, sex, age = st.columns([2, 3, 4])
    if vocabulary.views:
        view.pills("View", vocabulary.views, key="live_view", on_change=write, persist_state="session")
    if vocabulary.sexes:
        sex.pills(
            "Sex",
            vocabulary.sexes,
            key="live_sex",
            format_func=lambda sex: SEX_NAMES.get(sex, sex).capitalize(),
            on_change=write,
            persist_state="session",
        )
    if vocabulary.min_age is not None and vocabulary.max_age is not None:
        ages = [a for a in range(AGE_STEP, vocabulary.max_age + 1, AGE_STEP) if a >= vocabulary.min_age]
        age.select_slider(
            "Age",
            [ANY_AGE, *ages],
            key="live_age",
            format_func=lambda a: f"{a} years" if a else "any",
            on_change=write,
            persist_state="session",
        )
    phrases = {known.finding: known.phrase.removeprefix("a ") for known in vocabulary.findings}
    st.pills(
        "Findings",
        list(phrases),
        selection_mode="multi",
        key="live_findings",
        format_func=lambda finding: phrases.get(finding, finding),
        on_change=write,
        persist_state="session",
        wrap=True,
        help="None: a normal image.",
    )


def write_prompt(vocabulary: Vocabulary) -> None:
    """Compose the prompt of the chosen chips."""
    view, age, sex, findings = (st.session_state.get(f"live_{name}") for name in ("view", "age", "sex", "findings"))
    st.session_state["live_prompt"] = compose_prompt(view or "", age or None, sex or "", findings or [], vocabulary)


def clear_chips() -> None:
    """Clear the chips, which no longer match a prompt that was typed."""
    st.session_state.update({"live_view": None, "live_sex": None, "live_age": ANY_AGE, "live_findings": []})


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
    assert isinstance(result.request.condition, TextPrompt)
    with keep_error("live_open"):
        fill_generator(result.request, studio().manifest(result.checkpoint.full_name))
        st.session_state.update({CHECKPOINT: result.checkpoint.name, "prompt": result.request.condition.text})


main()
