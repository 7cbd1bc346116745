"""From what a person says at any door, a prompt or the name of a class, to a validated request."""

from __future__ import annotations

import secrets
from typing import Any

from xray_generator.checkpoints import Manifest
from xray_generator.registry import enlarges, get_family
from xray_generator.types import ClassLabel, Condition, GenerationRequest, StudioError, TextPrompt, Unconditional

MAX_RANDOM_SEED = 2**31 - 1


def resolve_seed(seed: int | None) -> int:
    """The seed itself, or a random one where it is None; resolved once, here, so that it can be recorded."""
    return secrets.randbelow(MAX_RANDOM_SEED) if seed is None else seed


def request_of(
    condition: Condition,
    *,
    seed: int | None = None,
    num_images: int = 1,
    size: int = 256,
    steps: int | None = None,
    guidance: float | None = None,
    scheduler: str | None = None,
) -> GenerationRequest:
    """A validated request for square images; a seed of None becomes a random one."""
    return GenerationRequest(condition, num_images, size, size, steps, guidance, scheduler, resolve_seed(seed))


def text_request(prompt: str, **settings: Any) -> GenerationRequest:  # noqa: ANN401 - those of `request_of`
    """A validated request for images of a prompt; settings as for `request_of`."""
    return request_of(TextPrompt(prompt), **settings)


def condition_of(manifest: Manifest, prompt: str | None = None, label: str | None = None) -> Condition:
    """What a checkpoint is asked for by a prompt or the name of a class.

    Raises:
        StudioError: the checkpoint wants the other one, or knows no such class; the text lists those it knows.
    """
    if enlarges(manifest.family):
        raise StudioError(f"{manifest.name} enlarges images and draws none by itself. Choose another checkpoint.")
    if get_family(manifest.family).condition is TextPrompt:
        if label is not None or prompt is None:
            raise StudioError(f"{manifest.name} draws what a prompt says: give a prompt, and no class.")
        return TextPrompt(prompt)
    known = f"Allowed: {', '.join(manifest.labels) or 'no class'}."
    if prompt is not None:
        raise StudioError(f"{manifest.name} reads no prompt; name a class. {known}")
    if label is None:
        if not manifest.unconditional:
            raise StudioError(f"{manifest.name} must be told a class. {known}")
        return Unconditional()
    if label not in manifest.labels:
        raise StudioError(f"{manifest.name} knows no class {label[:80]!r}. {known}")
    return ClassLabel(label)


def condition_words(condition: Condition) -> str:
    """What was asked for, in words."""
    match condition:
        case TextPrompt(text):
            return text
        case ClassLabel(label):
            return label.replace("_", " ")
        case Unconditional():
            return "any class"
