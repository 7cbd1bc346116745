"""The prompt: free text, real captions as examples, or built from the checkpoint's own vocabulary."""

from __future__ import annotations

import streamlit as st

from pages.parts.services import plain, studio
from xray_generator.checkpoints import Manifest
from xray_generator.data.vocabulary import Vocabulary, compose_prompt
from xray_generator.types import MAX_PROMPT_CHARACTERS, StudioError

KEY = "prompt"
EXAMPLE = "example"
SEXES = {"F": "Female", "M": "Male"}
YOUNG = ("child", "adolescent")  # the age groups that captions have words for


def draw_prompt(manifest: Manifest) -> None:
    """Draw the prompt box and what fills it; the text is `st.session_state[KEY]`."""
    vocabulary = studio().vocabulary(manifest.name)
    st.session_state.setdefault(KEY, next(iter(vocabulary.example_prompts), ""))
    st.text_area(
        "Prompt",
        key=KEY,
        height=96,
        persist_state="session",
        placeholder="Describe the chest X-ray",
        help=f"Up to {MAX_PROMPT_CHARACTERS:,} characters. Ctrl+Enter generates.",  # max_chars drops a longer text
    )
    with st.container():  # always there, so that a warning does not build the fields below anew
        _draw_unseen(manifest)
    examples, builder = st.columns(2)
    examples.selectbox(
        "Example prompts",
        vocabulary.example_prompts,
        index=None,
        key=EXAMPLE,
        on_change=_use_example,
        placeholder="Example prompts",
        label_visibility="collapsed",
    )
    with builder.popover("Build a prompt", width="stretch"):
        _draw_builder(vocabulary)


def _draw_unseen(manifest: Manifest) -> None:
    words = studio().unseen_words(st.session_state[KEY], manifest.name)
    if words:
        listed = ", ".join(f"**{plain(word)}**" for word in words)
        st.warning(f"Never seen in training; it changes the image, but not as the word means: {listed}")


def _use_example() -> None:
    if st.session_state[EXAMPLE]:
        st.session_state[KEY] = st.session_state[EXAMPLE]
        st.session_state[EXAMPLE] = None


def _draw_builder(vocabulary: Vocabulary) -> None:
    left, right = st.columns(2)
    view = left.segmented_control("View", vocabulary.views, key="build_view", persist_state="session")
    sex = right.segmented_control(
        "Sex", vocabulary.sexes, format_func=lambda s: SEXES.get(s, s), key="build_sex", persist_state="session"
    )
    age = None
    if vocabulary.min_age is not None and vocabulary.max_age is not None:
        age = st.number_input(
            f"Age in years, {vocabulary.min_age} to {vocabulary.max_age} in training",
            vocabulary.min_age,
            vocabulary.max_age,
            None,
            key="build_age",
            placeholder="any",
            persist_state="session",
        )
    groups = [group for group in YOUNG if group in vocabulary.age_groups]
    group = None
    if groups and age is None:
        group = st.segmented_control("Or an age group", groups, key="build_group", persist_state="session")
    counts = {known.finding: f"{known.phrase} ({known.count})" for known in vocabulary.findings}
    findings = st.multiselect(
        "Findings (training captions with it); none means normal",
        list(counts),
        key="build_findings",
        format_func=lambda f: counts.get(f, f),
        persist_state="session",
    )
    try:
        text = compose_prompt(view or "", age, sex or "", findings, vocabulary, group or "")
    except StudioError as error:
        st.error(plain(error))
        return
    st.text(text)
    st.button("Use this prompt", key="build_use", on_click=_use, args=(text,), width="stretch")


def _use(text: str) -> None:
    st.session_state[KEY] = text
