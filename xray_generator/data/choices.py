"""Prompts with choices: "{mild|severe} edema, {40-45} years" stands for twelve prompts, each drawn by itself."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from xray_generator.types import MAX_IMAGES, GenerationRequest, StudioError, TextPrompt, normalize_text, quote

CHOICE = re.compile(r"\{([^{}]*)\}")
NUMBERS = re.compile(r"\s*(\d{1,4})\s*-\s*(\d{1,4})\s*")


def expand_prompt(prompt: str, most: int = MAX_IMAGES) -> tuple[str, ...]:
    """The prompts that one with choices stands for: "{mild|severe} edema" is two, "{1-5}" five, both together ten.

    The last choice changes first. A prompt without braces is itself.

    Raises:
        StudioError: braces that hold no choice, or more than `most` prompts.
    """
    pieces = CHOICE.split(prompt)  # text, choice, text, choice, text
    if any(brace in text for text in pieces[::2] for brace in "{}"):
        raise StudioError("A choice in a prompt looks like {mild|severe} or {1-5}; here a brace has no partner.")
    choices = [_read_choice(text) for text in pieces[1::2]]
    count = math.prod(map(len, choices))
    if count > most:
        raise StudioError(f"The choices in this prompt make {count:,} prompts; at most {most} are allowed.")
    texts = ("".join(map("".join, zip(pieces[::2], (*drawn, ""), strict=True))) for drawn in product(*choices))
    return tuple(dict.fromkeys(map(normalize_text, texts)))


def expand_request(request: GenerationRequest, most: int = MAX_IMAGES) -> tuple[GenerationRequest, ...]:
    """A request for each prompt that the one of a request stands for, with the same seed; errors as above."""
    if not isinstance(request.condition, TextPrompt):
        return (request,)
    texts = expand_prompt(request.condition.text, most)
    return tuple(replace(request, condition=TextPrompt(text)) for text in texts)


def _read_choice(text: str) -> Sequence[str]:
    """What may stand in the place of a pair of braces; an empty word may be one of several."""
    if found := NUMBERS.fullmatch(text):
        first, last = int(found[1]), int(found[2])
        return [str(number) for number in range(first, last + 1)] or [str(n) for n in range(first, last - 1, -1)]
    words = text.split("|")
    if len(words) < 2:
        raise StudioError(f"{quote('{' + text + '}')} is no choice: give words as in {{mild|severe}}, or {{1-5}}.")
    return words
