"""What is asked for, in the form that the chosen checkpoint reads: a prompt, or a class."""

from __future__ import annotations

import streamlit as st

from pages.parts.generator import prompt
from pages.parts.sampling import field
from xray_generator.checkpoints import Manifest
from xray_generator.requests import read_condition
from xray_generator.types import ClassLabel, Condition, StudioError, TextPrompt

ANY = ""  # no class in particular


def draw_condition(manifest: Manifest) -> None:
    """Draw the prompt, or the choice of a class."""
    if reads_prompt(manifest):
        prompt.draw_prompt(manifest)
        return
    choices = [*manifest.labels, *([ANY] if manifest.unconditional else [])]
    st.session_state.setdefault(field("label", manifest.name), next(iter(choices), ANY))
    st.pills(
        "Class",
        choices,
        key=field("label", manifest.name),
        required=True,
        persist_state="session",
        format_func=lambda label: label.replace("_", " ") or "any",
    )


def reads_prompt(manifest: Manifest) -> bool:
    """Whether it draws what words say."""
    return not manifest.labels and not manifest.unconditional


def asked(manifest: Manifest) -> Condition:
    """What the form asks for. StudioError where that is not allowed."""
    if reads_prompt(manifest):
        return TextPrompt(st.session_state[prompt.KEY])
    return read_condition(manifest, label=st.session_state[field("label", manifest.name)] or None)


def is_read(condition: Condition, manifest: Manifest) -> bool:
    """Whether a checkpoint draws what an image was asked for by."""
    if isinstance(condition, TextPrompt):
        return reads_prompt(manifest)
    try:
        read_condition(manifest, label=condition.label if isinstance(condition, ClassLabel) else None)
    except StudioError:
        return False
    return True


def fill(condition: Condition, manifest: Manifest) -> None:
    """Put what an image was asked for by into the form; `is_read` was asked before."""
    if isinstance(condition, TextPrompt):
        st.session_state[prompt.KEY] = condition.text
    else:
        label = condition.label if isinstance(condition, ClassLabel) else ANY
        st.session_state[field("label", manifest.name)] = label
