"""The real films and the generated images that the research dashboard compares, each read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import streamlit as st
from pages.parts.dataset.source import default_folder, default_rows

from pages.parts.services import studio
from xray_generator.checkpoints import Manifest
from xray_generator.dashboards import side_by_side
from xray_generator.dashboards.prompts import is_of, row_of_prompt
from xray_generator.dashboards.side_by_side import MOST, Choice, Sides
from xray_generator.data.rows import Row
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.export.recipe import Recipe, find_recipe
from xray_generator.types import StudioError, TextPrompt

SHIPPED, HERE = "Samples that ship", "Drawn in this studio"
SOURCES = (SHIPPED, HERE)
Stamps = tuple[tuple[str, int], ...]  # path and time of change of each file
MOST_READ = 1_000  # newest files of a folder whose recipes are looked at


@dataclass(frozen=True, slots=True)
class Drawn:
    """The images of one checkpoint, and how many others were passed over."""

    rows: tuple[Row, ...]  # what the prompt of each states
    notes: tuple[str, ...]
    next_seed: int  # above every seed of them


def dataset_rows() -> tuple[Row, ...]:
    """All films of the dataset; StudioError where there is none."""
    folder = default_folder()
    if not folder.is_dir():
        raise StudioError(f"The dataset folder {folder} does not exist. Set DATASET_PATH to a folder of real images.")
    return default_rows()


def find_drawn(manifest: Manifest, sources: Sequence[str]) -> Drawn:
    """The raw images of a checkpoint from a prompt; others are counted. Equal images in two folders count once."""
    folders = [studio().sample_dir(manifest.name)] if SHIPPED in sources else []
    folders += [studio().generated_dir] if HERE in sources else []
    kept: dict[str, tuple[Path, Recipe]] = {}
    passed = {"of other weights": 0, "without a recipe": 0, "enhanced": 0, "without a prompt": 0}
    for path in [path for folder in folders for path in _newest(folder)]:
        recipe = _read_recipe(path, path.stat().st_mtime_ns)
        reason = _reason(recipe, manifest)
        if recipe is None or reason:
            passed[reason] += bool(reason)
        elif path.name not in kept and len(kept) < MOST:
            kept[path.name] = (path, recipe)
    others = ", ".join(f"{count:,} {reason}" for reason, count in passed.items() if count)
    notes = [f"Generated images left out: {others}."] if others else []
    if unlike := sum(not _is_recommended(recipe, manifest) for _, recipe in kept.values()):
        notes.append(f"{unlike:,} generated images were drawn with other settings than the checkpoint recommends.")
    rows = tuple(
        _row(recipe.request.condition.text, path)
        for path, recipe in kept.values()
        if isinstance(recipe.request.condition, TextPrompt)
    )
    seeds = [recipe.request.seed for _, recipe in kept.values() if recipe.request.seed < 2**52]
    return Drawn(rows, tuple(notes), max(seeds, default=-1) + 1)


def read_sides(drawn: Drawn, choice: Choice, condition: str, size: int) -> Sides:
    """The images of both sides, read once as long as their files stay as they are."""
    rows = tuple(row for row in drawn.rows if is_of(row, condition))
    key = (_stamps(rows), _stamps(choice.rows), choice.split)
    return _read_sides(key, condition, size, rows, choice)


def read_films(choice: Choice, size: int) -> ImageSet:
    """The films of a choice, read once."""
    return _read_films((_stamps(choice.rows), choice.split), size, choice)


@st.cache_resource(show_spinner="Reading the images", max_entries=2)
def _read_sides(
    key: tuple[Stamps, Stamps, str],  # noqa: ARG001 - what makes the result another
    condition: str,
    size: int,
    _rows: Sequence[Row],
    _choice: Choice,
) -> Sides:
    return side_by_side.read_sides(_rows, _choice, condition, size)


@st.cache_resource(show_spinner="Reading the unseen films", max_entries=1)
def _read_films(key: tuple[Stamps, str], size: int, _choice: Choice) -> ImageSet:  # noqa: ARG001 - as above
    return side_by_side.read_films(_choice, size)


def _stamps(rows: Sequence[Row]) -> Stamps:
    """What tells one state of the files from another; a file that is gone is left to the reader."""
    return tuple((str(row.path), row.path.stat().st_mtime_ns if row.path.is_file() else 0) for row in rows)


@lru_cache(maxsize=4 * MOST_READ)
def _row(prompt: str, path: Path) -> Row:
    return row_of_prompt(prompt, path)


def _newest(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.png"), key=lambda path: path.stat().st_mtime_ns, reverse=True)[:MOST_READ]


@lru_cache(maxsize=4 * MOST_READ)
def _read_recipe(path: Path, modified_ns: int) -> Recipe | None:  # noqa: ARG001 - a part of the cache's key
    return find_recipe(path.read_bytes())


def _reason(recipe: Recipe | None, manifest: Manifest) -> str:
    """Why an image is left out; "" where it is kept."""
    if recipe is None:
        return "without a recipe"
    if recipe.checkpoint != manifest.ref:
        return "of other weights"
    if recipe.preset:
        return "enhanced"
    return "" if isinstance(recipe.request.condition, TextPrompt) else "without a prompt"


def _is_recommended(recipe: Recipe, manifest: Manifest) -> bool:
    request = recipe.request
    used = (request.scheduler, request.num_inference_steps, request.guidance_scale)
    return used == tuple(manifest.recommended[key] for key in ("scheduler", "num_inference_steps", "guidance_scale"))
