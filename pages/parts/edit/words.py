"""What the image shows now and what it shall show instead, with switches for each finding that the checkpoint knows."""

from __future__ import annotations

import streamlit as st

from pages.parts.services import plain, studio
from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.prompts import row_of_prompt
from xray_generator.data.rows import finding_name
from xray_generator.data.vocabulary import SUBTYPES, Vocabulary, compose_prompt
from xray_generator.types import StudioError

NOW, TARGET, WITH = "edit_now", "edit_target", "edit_with"
FIRST = "pleural_effusion"  # of the first target prompt, where the checkpoint knows it


def now_key(*, is_upload: bool) -> str:
    """Where the source prompt is: an upload has one of its own, which may be empty."""
    return f"{NOW} of an upload" if is_upload else NOW


def draw_words(manifest: Manifest, *, is_upload: bool) -> None:
    """Draw both prompts; the texts are `st.session_state[now_key(...)]` and `st.session_state[TARGET]`."""
    vocabulary, key = studio().vocabulary(manifest.name), now_key(is_upload=is_upload)
    _set_defaults(vocabulary, key, is_upload=is_upload)
    st.text_area(
        "It shows now" + (" (may stay empty)" if is_upload else ""),
        key=key,
        height=68,
        persist_state="session",
        help="With these words inversion finds its way better." if is_upload else "This prompt draws the patient.",
    )
    st.text_area("It shall show instead", key=TARGET, height=68, persist_state="session")
    _draw_unseen(manifest)
    _draw_switches(vocabulary, key)


def retarget(manifest: Manifest) -> None:
    """Ask for the findings of the lower prompt in the patient of a new upper one."""
    findings, now = row_of_prompt(st.session_state.get(TARGET, "")).findings, st.session_state[NOW]
    if text := _compose(now, findings, studio().vocabulary(manifest.name)):
        st.session_state[TARGET] = text


def _draw_switches(vocabulary: Vocabulary, key: str) -> None:
    known = [phrase.finding for phrase in vocabulary.findings]
    present = [finding for finding in row_of_prompt(st.session_state[TARGET]).findings if finding in known]
    st.session_state[WITH] = present
    st.pills(
        "The same patient with and without",
        known,
        selection_mode="multi",
        format_func=finding_name,
        key=WITH,
        on_change=_switch,
        args=(vocabulary, key, tuple(present)),
        wrap=True,
        help="Writes the lower prompt anew: view, age and sex of the upper one, with these findings.",
    )
    now = st.session_state[key]
    alike = _compose(now, row_of_prompt(now).findings, vocabulary) if now else ""
    if alike and alike != now:
        st.button(
            "Word the upper prompt alike",
            key="edit_alike",
            type="tertiary",
            on_click=_set,
            args=(key, alike),
            help="So that the prompts differ in the findings alone. A generated patient changes a little with it.",
        )


def _switch(vocabulary: Vocabulary, key: str, before: tuple[str, ...]) -> None:
    chosen = list(st.session_state[WITH])
    if "pneumonia" in before and "pneumonia" not in chosen:  # a kind of pneumonia goes with it
        chosen = [finding for finding in chosen if finding not in SUBTYPES]
    if text := _compose(st.session_state[key] or st.session_state[TARGET], chosen, vocabulary):
        st.session_state[TARGET] = text


def _compose(prompt: str, findings: list[str] | tuple[str, ...], vocabulary: Vocabulary) -> str:
    """The patient of a prompt with these findings, in the captions' words; empty where those have none."""
    row = row_of_prompt(prompt)
    try:
        return compose_prompt(row.view[:2], row.age, row.sex, findings, vocabulary, row.age_group)
    except StudioError:
        return ""


def _set(key: str, text: str) -> None:
    st.session_state[key] = text


def _draw_unseen(manifest: Manifest) -> None:
    if words := studio().unseen_words(st.session_state[TARGET], manifest.name):
        listed = ", ".join(f"**{plain(word)}**" for word in words)
        st.warning(f"Never seen in training; it changes the image, but not as the word means: {listed}")


def _set_defaults(vocabulary: Vocabulary, key: str, *, is_upload: bool) -> None:
    example = next(iter(vocabulary.example_prompts), "")
    known = [phrase.finding for phrase in vocabulary.findings]
    first = [FIRST] if FIRST in known else known[:1]
    st.session_state.setdefault(key, "" if is_upload else _compose(example, (), vocabulary))
    st.session_state.setdefault(TARGET, _compose(example, first, vocabulary))
