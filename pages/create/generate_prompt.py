"""The Generator's prompt: the text, examples from the training captions, and a builder that uses their vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from pages.kit.album import own_index
from pages.kit.jobs import draw_error, keep_error
from pages.kit.services import escape_markdown, explain_faults, own_dir, studio
from xray_generator.album.prompts import drop_prompt, keep_prompt, read_library
from xray_generator.checkpoints import Manifest
from xray_generator.data.choices import expand_prompt
from xray_generator.data.rows import SEX_NAMES
from xray_generator.data.vocabulary import Vocabulary, compose_prompt
from xray_generator.jobs import MAX_QUEUED_EACH
from xray_generator.types import MAX_PROMPT_CHARACTERS, normalize_text


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
        help=f"Up to {MAX_PROMPT_CHARACTERS:,} characters. Ctrl+Enter generates. "  # max_chars drops a longer text
        "`{mild|severe}` and `{1-5}` draw one prompt for each choice.",
    )
    with st.container():  # always there, so that a warning does not rebuild the fields below
        texts = draw_choices()
        if texts and (reading := studio().reading(texts[0], manifest.name)):
            st.caption(f"Read as: {escape_markdown(reading)}")
        if unseen := studio().unseen_words(" ".join(texts), manifest.name):
            words = ", ".join(f"**{escape_markdown(word)}**" for word in unseen)
            st.warning(f"Not in the training captions, so the effect is unpredictable: {words}")
    with st.container(horizontal=True):
        st.selectbox(
            "Example prompts",
            vocabulary.example_prompts,
            index=None,
            key="example",
            on_change=use_example,
            placeholder="Example prompts",
            label_visibility="collapsed",
        )
        with st.popover("Build a prompt"):
            draw_builder(vocabulary)
        with st.popover("My prompts", key="prompts_open", on_change="rerun"):
            if st.session_state.get("prompts_open"):
                draw_own_prompts()


def draw_choices() -> tuple[str, ...]:
    """Say how many prompts the choices in the prompt make, or what is wrong with them; return these prompts."""
    with explain_faults():
        texts = expand_prompt(st.session_state["prompt"], MAX_QUEUED_EACH)
        if len(texts) > 1:
            st.caption(escape_markdown(f"Draws {len(texts)} prompts one after the other. The first: {texts[0]}"))
        return texts
    return ()


@explain_faults()
def draw_own_prompts() -> None:
    """Draw the prompts that this person kept or drew from, to take one again, and a button that keeps the present one.

    Typing in the choice searches it.
    """
    drawn = own_index().prompts()
    kept = read_library(own_dir()).prompts
    st.selectbox(
        "Kept and drawn prompts, the last ones first. Type to search.",
        list(dict.fromkeys((*kept, *drawn))),
        index=None,
        key="own_prompt",
        format_func=lambda text: ("★ " if text in kept else "") + text,
        on_change=use_own_prompt,
        placeholder="Choose a prompt",
    )
    present = normalize_text(st.session_state["prompt"])
    if present in kept:
        st.button("Forget the present prompt", key="drop_prompt", on_click=change_kept, args=(drop_prompt, present))
    else:
        st.button(
            "Keep the present prompt",
            key="keep_prompt",
            on_click=change_kept,
            args=(keep_prompt, present),
            disabled=not present,
        )
    draw_error("prompts")


def use_own_prompt() -> None:
    """Take the chosen prompt, and show the choice empty again."""
    if st.session_state["own_prompt"]:
        st.session_state.update({"prompt": st.session_state["own_prompt"], "own_prompt": None})


def change_kept(change: Callable[[Path, str], None], prompt: str) -> None:
    """Put a prompt among the kept ones or take it away; an error is kept for the popover."""
    with keep_error("prompts"):
        change(own_dir(), prompt)


def use_example() -> None:
    """Take the chosen example as the prompt, and show the choice empty again."""
    if st.session_state["example"]:
        st.session_state.update({"prompt": st.session_state["example"], "example": None})


@st.fragment
@explain_faults()
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
    text = compose_prompt(view or "", age, sex or "", findings, vocabulary, group or "")
    st.text(text)
    if st.button(
        "Use this prompt", key="build_use", on_click=st.session_state.update, args=({"prompt": text},), width="stretch"
    ):
        st.rerun()  # the whole page: the prompt is outside this fragment
