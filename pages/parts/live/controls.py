"""The words and the sliders of one picture; chips of the checkpoint's own vocabulary write the words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import streamlit as st

from pages.parts.generator import prompt as generator_prompt
from pages.parts.sampling import field
from pages.parts.services import studio
from xray_generator.checkpoints import Manifest
from xray_generator.data.vocabulary import Vocabulary, compose_prompt
from xray_generator.requests import text_request
from xray_generator.types import GenerationRequest

PROMPT, SEED = "live_prompt", "live_seed"
VIEW, SEX, AGE, FINDINGS = "live_view", "live_sex", "live_age", "live_findings"
MAX_SEED, MAX_STEPS, FAST_STEPS, MAX_GUIDANCE = 999, 20, 8, 10.0
ANY_AGE, AGE_STEP = 0, 5
GUIDED_WITHIN = "The checkpoint's fast scheduler was distilled with its guidance within."


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a live picture is drawn with, beside its prompt and its seed."""

    size: int
    steps: int
    guidance: float
    scheduler: str

    def request(self, prompt: str, seed: int) -> GenerationRequest:
        """The request for one picture. StudioError where the prompt is not allowed."""
        return text_request(
            prompt, seed=seed, size=self.size, steps=self.steps, guidance=self.guidance, scheduler=self.scheduler
        )


def set_defaults(manifest: Manifest) -> None:
    """Begin with the Generator's prompt, or an example; StudioError where the manifest has no vocabulary."""
    examples = studio().vocabulary(manifest.name).example_prompts
    first = st.session_state.get(generator_prompt.KEY) or next(iter(examples), "")
    for key, value in {PROMPT: first, SEED: 0, AGE: ANY_AGE}.items():
        st.session_state.setdefault(key, value)


def draw_words(manifest: Manifest) -> None:
    """Draw the prompt, which is sent while one types, and the chips."""
    st.text_input(
        "Prompt",
        key=PROMPT,
        live=True,
        on_change=_clear_chips,
        persist_state="session",
        placeholder="Describe the chest X-ray",
        help="The picture follows while you type.",
    )
    _draw_chips(studio().vocabulary(manifest.name))


def draw_seed() -> int:
    """Draw the slider of the seed and its next button."""
    slider, button = st.columns([4, 1], vertical_alignment="bottom")
    seed: int = slider.slider("Seed", 0, MAX_SEED, key=SEED, persist_state="session")
    button.button("Next", key="live_next", on_click=_next_seed, width="stretch", help="Another patient, same words.")
    return seed


def draw_sampling(manifest: Manifest) -> Sampling:
    """Draw the sliders of guidance and steps."""
    recommended = manifest.recommended
    distilled, most = next(iter(manifest.few_steps.items()), ("", MAX_STEPS))
    steps_key, guidance_key = (f"live_{field(name, manifest.name)}" for name in ("steps", "guidance"))
    fast = min(most if distilled else FAST_STEPS, int(recommended.num_inference_steps or FAST_STEPS))
    best = float(recommended.guidance_scale or 1)
    st.session_state[steps_key] = min(st.session_state.get(steps_key, fast), most)
    st.session_state.setdefault(guidance_key, best)
    left, right = st.columns(2)
    guidance = left.slider(
        "Guidance",
        1.0,
        max(MAX_GUIDANCE, best),
        step=0.5,
        key=guidance_key,
        persist_state="session",
        disabled=bool(distilled),
        help=GUIDED_WITHIN if distilled else "How closely the picture keeps to the words.",
    )
    steps = (
        1
        if most == 1
        else right.slider(
            "Steps", 1, most, key=steps_key, persist_state="session", help="Fewer are faster, more are finer."
        )
    )
    return Sampling(manifest.sizes[0], steps, guidance, distilled or recommended.scheduler)


def _draw_chips(vocabulary: Vocabulary) -> None:
    write = partial(_write_prompt, vocabulary)
    view, sex, age = st.columns([2, 3, 4])
    if vocabulary.views:
        view.pills("View", vocabulary.views, key=VIEW, on_change=write, persist_state="session")
    if vocabulary.sexes:
        names = generator_prompt.SEXES
        sex.pills(
            "Sex",
            vocabulary.sexes,
            key=SEX,
            format_func=lambda s: names.get(s, s),
            on_change=write,
            persist_state="session",
        )
    if ages := _ages(vocabulary):
        age.select_slider(
            "Age",
            [ANY_AGE, *ages],
            key=AGE,
            format_func=lambda a: f"{a} years" if a else "any",
            on_change=write,
            persist_state="session",
        )
    phrases = {known.finding: known.phrase.removeprefix("a ") for known in vocabulary.findings}
    st.pills(
        "Findings",
        list(phrases),
        selection_mode="multi",
        key=FINDINGS,
        format_func=lambda f: phrases.get(f, f),
        on_change=write,
        persist_state="session",
        wrap=True,
        help="None means a normal image.",
    )


def _ages(vocabulary: Vocabulary) -> list[int]:
    if vocabulary.min_age is None or vocabulary.max_age is None:
        return []
    return [age for age in range(AGE_STEP, vocabulary.max_age + 1, AGE_STEP) if age >= vocabulary.min_age]


def _write_prompt(vocabulary: Vocabulary) -> None:
    state = st.session_state
    state[PROMPT] = compose_prompt(
        state.get(VIEW) or "", state.get(AGE) or None, state.get(SEX) or "", state.get(FINDINGS) or [], vocabulary
    )


def _clear_chips() -> None:
    """What was typed speaks: no chip may claim otherwise."""
    st.session_state.update({VIEW: None, SEX: None, AGE: ANY_AGE, FINDINGS: []})


def _next_seed() -> None:
    st.session_state[SEED] = (st.session_state[SEED] + 1) % (MAX_SEED + 1)
