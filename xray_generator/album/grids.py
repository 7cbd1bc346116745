"""Grids: one request with every combination of values of up to three settings; no finished cell is drawn again."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from postprocess.presets import Preset, apply
from xray_generator.checkpoints import Manifest
from xray_generator.data.naming import class_titles
from xray_generator.devices import runtime_facts, set_threads
from xray_generator.export.pictures import file_name
from xray_generator.export.recipe import Recipe
from xray_generator.export.sheet import SheetRow, encode_sheet
from xray_generator.images import read_image, resize_square
from xray_generator.requests import STOCHASTIC, check_condition, describe_condition
from xray_generator.studio import Studio
from xray_generator.types import (
    MAX_IMAGES,
    MAX_SHOWN,
    NOTICE,
    ClassLabel,
    Engine,
    GenerationRequest,
    Image,
    OnStep,
    StudioError,
    TextPrompt,
    part,
    quote,
)

MAX_AXES = 3
PROMPT, CLASS, SEED, STEPS, GUIDANCE = "Prompt", "Class", "Seed", "Steps", "Guidance"
SCHEDULER, ENHANCEMENT, CHECKPOINT = "Scheduler", "Enhancement", "Model"
AXES = (PROMPT, CLASS, SEED, STEPS, GUIDANCE, SCHEDULER, ENHANCEMENT, CHECKPOINT)
FIELDS = {SEED: "seed", STEPS: "num_inference_steps", GUIDANCE: "guidance_scale", SCHEDULER: "scheduler"}
NUMBER = re.compile(r"\d{1,10}(?:\.\d{1,4})?")
SPAN = re.compile(r"(\d{1,10})-(\d{1,10})")


@dataclass(frozen=True, slots=True)
class Axis:
    """A setting and the values that it takes: words for all but numbers."""

    name: str  # one of AXES
    values: tuple[str | int | float, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One image of a grid."""

    request: GenerationRequest
    checkpoint: str
    preset: Preset
    labels: tuple[str, ...] = ()  # what its place stands for, along each axis


@dataclass(frozen=True, slots=True, eq=False)
class DrawnGrid:
    """The images of a grid, in the order of its cells."""

    cells: tuple[Cell, ...]
    images: tuple[Image, ...]
    num_reused: int  # that were finished before
    num_columns: int


def read_numbers(text: str, *, is_whole: bool) -> tuple[int | float, ...]:
    """The numbers in "1-4, 9" or "1, 2.5", each once.

    Raises:
        StudioError: a part is no number, or there are more than 64.
    """
    numbers: list[int | float] = []
    for word in filter(None, re.split(r"[,;\s]+", text)):
        if is_whole and (span := SPAN.fullmatch(word)):
            first, last = int(span[1]), int(span[2])
            if last - first >= MAX_IMAGES:
                raise StudioError(f"{quote(word)} are more than {MAX_IMAGES} numbers.")
            numbers += range(first, last + 1)
        elif NUMBER.fullmatch(word) and (not is_whole or "." not in word):
            numbers.append(int(word) if is_whole else float(word))
        else:
            raise StudioError(f"Give numbers such as {'1-4, 9' if is_whole else '1, 2.5'}, not {quote(word)}.")
    return tuple(dict.fromkeys(numbers))


def plan_cells(
    base: Cell, axes: Sequence[Axis], manifests: Mapping[str, Manifest], presets: Mapping[str, Preset]
) -> tuple[Cell, ...]:
    """The cells of a grid around `base`; the values of the first axis change first.

    A checkpoint that does not draw the size or with the scheduler of `base` uses its own.

    Raises:
        StudioError: no axis, an axis twice or without values, more than 64 cells, adapters with several models, or a
            value that is not allowed.
    """
    if not 0 < len(axes) <= MAX_AXES or len({axis.name for axis in axes}) < len(axes):
        raise StudioError(f"A grid has 1 to {MAX_AXES} axes, each for another setting.")
    if empty := [axis.name for axis in axes if not axis.values]:
        raise StudioError(f"Give values for the axis {empty[0]}.")
    if base.request.adapters and any(axis.name == CHECKPOINT for axis in axes):
        raise StudioError("Adapters belong to one model: a grid of several models cannot have any.")
    count = math.prod(len(axis.values) for axis in axes)
    if count > MAX_IMAGES:
        raise StudioError(f"A grid has at most {MAX_IMAGES} images, not {count:,}.")
    cells = [replace(base, request=replace(base.request, num_images=1), labels=())]
    for axis in reversed(axes):
        cells = [_change(cell, axis.name, value, manifests, presets) for cell in cells for value in axis.values]
    cells = [replace(cell, request=fit_request(cell.request, manifests[cell.checkpoint])) for cell in cells]
    for cell in cells:
        check_condition(manifests[cell.checkpoint], cell.request.condition)
    return tuple(cells)


def _change(
    cell: Cell, name: str, value: str | float, manifests: Mapping[str, Manifest], presets: Mapping[str, Preset]
) -> Cell:
    """The cell with one setting replaced, and its label put first."""
    words = f"{value:g}" if isinstance(value, float) else str(value)
    if name == CLASS:
        words = class_titles(manifests[cell.checkpoint].labels).get(words, words)
    labels = (f"{name.lower()} {words}", *cell.labels)
    if name == CHECKPOINT:
        return replace(cell, checkpoint=str(value), labels=labels)
    if name == ENHANCEMENT:
        return replace(cell, preset=presets[str(value)], labels=labels)
    if name == PROMPT:
        request = replace(cell.request, condition=TextPrompt(str(value)))
    elif name == CLASS:
        request = replace(cell.request, condition=ClassLabel(str(value)))
    else:
        changes: dict[str, Any] = {FIELDS[name]: value}
        request = replace(cell.request, **changes)
    return replace(cell, request=request, labels=labels)


def fit_request(request: GenerationRequest, manifest: Manifest) -> GenerationRequest:
    """The request with the checkpoint's own size and scheduler where it does not draw with those that are asked for.

    A scheduler that takes no eta is given none.
    """
    size = request.height if request.height in manifest.sizes else manifest.sizes[0]
    scheduler = request.scheduler if request.scheduler in manifest.schedulers else manifest.recommended.scheduler
    eta = request.eta if scheduler == STOCHASTIC else 0.0
    return replace(request, height=size, width=size, scheduler=scheduler, eta=eta)


def draw_cells(cells: Sequence[Cell], num_columns: int, studio: Studio, folder: Path, on_step: OnStep) -> DrawnGrid:
    """The images of a grid: those that the folder holds by their recipes, and the others drawn and kept there.

    Raises:
        StudioError: as for `Studio.generate` and `Studio.save`.
    """
    raw: dict[int, Image] = {}
    num_reused = 0
    for done, index in enumerate(sorted(range(len(cells)), key=lambda place: cells[place].checkpoint)):
        cell = cells[index]  # one checkpoint after the other, so that each is loaded once
        engine = studio.engine(cell.checkpoint)
        set_threads(studio.num_threads)  # they are part of a recipe
        found = _find_finished(cell.request, engine, folder)
        if found is None:
            result = studio.generate(cell.request, cell.checkpoint, part(on_step, done, len(cells)))
            studio.save(result, folder)
            found = result.images[0]
        else:
            num_reused += 1
        raw[index] = found
    images = tuple(apply(cell.preset, raw[index]) for index, cell in enumerate(cells))
    return DrawnGrid(tuple(cells), images, num_reused, num_columns)


def _find_finished(request: GenerationRequest, engine: Engine, folder: Path) -> Image | None:
    """The image that this request drew here before, by the name that its recipe gives it."""
    recipe = Recipe(engine.resolve(request), engine.manifest.ref, runtime_facts(engine.device))
    try:
        return read_image(folder / file_name(recipe))
    except (OSError, StudioError):  # not drawn yet, or damaged
        return None


def encode_grid(drawn: DrawnGrid) -> bytes:
    """A grid as one labeled PNG: a row for each value of the second and third axis; all at the size of the largest."""
    size = max(len(image) for image in drawn.images)
    rows = []
    for start in range(0, len(drawn.cells), drawn.num_columns):
        cells = drawn.cells[start : start + drawn.num_columns]
        images = [resize_square(image, size) for image in drawn.images[start : start + drawn.num_columns]]
        columns = " | ".join(_short(cell.labels[0]) for cell in cells)
        rows.append(SheetRow(f"{NOTICE} {_common_words(cells)}: {columns}", images))
    return encode_sheet(rows, drawn.num_columns)


def _common_words(cells: Sequence[Cell]) -> str:
    """What all images of a row have in common: its place along the other axes, its condition, its seed."""
    words = list(map(_short, cells[0].labels[1:]))
    for names in (
        {_short(describe_condition(cell.request.condition)) for cell in cells},
        {f"seed {cell.request.seed}" for cell in cells},
    ):
        words += names if len(names) == 1 else ()
    return ", ".join(dict.fromkeys(words)) or "each as its label says"


def _short(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
