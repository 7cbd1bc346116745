"""The prompts that a person chose to keep, in a file among their images."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from xray_generator.config import dump, parse
from xray_generator.export.files import make_folder, write_json
from xray_generator.types import StudioError, TextPrompt

FILE = "prompts.json"
MAX_KEPT = 200


@dataclass(frozen=True, slots=True)
class PromptLibrary:
    """Kept prompts, the last one first."""

    prompts: tuple[str, ...] = ()


def read_library(folder: Path) -> PromptLibrary:
    """The kept prompts of a folder; none where there is no file that can be read."""
    try:
        return parse(PromptLibrary, json.loads((folder / FILE).read_bytes()))
    except (OSError, ValueError, RecursionError):  # absent, damaged, or of another version
        return PromptLibrary()


def keep_prompt(folder: Path, prompt: str) -> None:
    """Put a prompt first among the kept ones.

    Raises:
        StudioError: it is no prompt, 200 are kept already, or the folder takes none.
    """
    text = TextPrompt(prompt).text
    others = tuple(kept for kept in read_library(folder).prompts if kept != text)
    if len(others) >= MAX_KEPT:
        raise StudioError(f"At most {MAX_KEPT} prompts can be kept. Remove one first.")
    _write(folder, (text, *others))


def drop_prompt(folder: Path, prompt: str) -> None:
    """Remove a prompt from the kept ones; StudioError: the folder cannot be written to."""
    _write(folder, tuple(kept for kept in read_library(folder).prompts if kept != prompt))


def _write(folder: Path, prompts: tuple[str, ...]) -> None:
    make_folder(folder)
    write_json(folder / FILE, dump(PromptLibrary(prompts)))
