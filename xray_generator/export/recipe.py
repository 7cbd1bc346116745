"""The recipe inside every exported file: all that is needed to reproduce the image, and that it is synthetic."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

from postprocess.presets import Preset, from_data
from xray_generator import images
from xray_generator.config import dump, parse
from xray_generator.dicom import is_dicom
from xray_generator.export.dicom import find_dicom_recipe
from xray_generator.export.marks import (
    KEY,
    PARAMETERS,
    SEVERAL,
    holds_old_recipe,
    mark_chunks,
    parameter_text,
    read_text_chunks,
)
from xray_generator.types import (
    NOTICE,
    CheckpointRef,
    Edit,
    GenerationRequest,
    GenerationResult,
    Image,
    Morph,
    StudioError,
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one image was made. Without time and position in a batch, so that equal images are equal files."""

    request: GenerationRequest  # of this image alone: one image, its own seed
    checkpoint: CheckpointRef
    runtime: dict[str, Any] = field(default_factory=dict)  # versions, device, threads: bit-equality depends on them
    preset: dict[str, Any] | None = None  # the enhancement applied; None: the raw image
    origin: Morph | Edit | None = None  # what else it was made from
    upscaler: CheckpointRef | None = None  # that enlarged it
    synthetic: bool = True
    notice: str = NOTICE

    @property
    def digest(self) -> str:
        """Eight hex digits of a hash of the recipe."""
        return hashlib.sha256(json.dumps(dump(self), sort_keys=True).encode()).hexdigest()[:8]


def recipes(result: GenerationResult) -> tuple[Recipe, ...]:
    """The recipe of each image of a result."""
    common = common_recipe(result)
    requests = (replace(result.request, num_images=1, seed=seed) for seed in result.seeds)
    return tuple(replace(common, request=request) for request in requests)


def common_recipe(result: GenerationResult) -> Recipe:
    """The recipe of all images of a result together."""
    return Recipe(
        result.request, result.checkpoint, dict(result.runtime), origin=result.origin, upscaler=result.upscaler
    )


def add_preset(recipe: Recipe, preset: Preset) -> Recipe:
    """The recipe with a preset's operations after those of an earlier one.

    Raises:
        StudioError: more than 20 operations in all.
    """
    if not preset.operations:
        return recipe
    if recipe.preset is not None:
        earlier = from_data(recipe.preset)
        preset = replace(preset, operations=earlier.operations + preset.operations)
    return replace(recipe, preset=dump(preset))


def recipe_chunks(recipe: Recipe) -> dict[str, str]:
    """The text chunks of a PNG: the line for other programs, the recipe as JSON, and the other marks."""
    return {
        PARAMETERS: parameter_text(recipe),
        KEY: json.dumps(dump(recipe), ensure_ascii=False, sort_keys=True),
        **mark_chunks(recipe.notice),
    }


def encode_png(image: Image, recipe: Recipe) -> bytes:
    """8-bit gray PNG that holds its recipe."""
    return images.encode_png(image, recipe_chunks(recipe))


def find_recipe(data: bytes) -> Recipe | None:
    """The recipe inside a PNG or DICOM file of this studio; None for any other file."""
    try:
        return read_recipe(data)
    except StudioError:
        return None


def read_recipe(data: bytes) -> Recipe:
    """The recipe inside a PNG or DICOM file of this studio or of an earlier version.

    Raises:
        StudioError: another kind of file, or one without the recipe of one image.
    """
    text = find_dicom_recipe(data) if is_dicom(data) else _find_text(read_text_chunks(data))
    if text is None:
        raise StudioError("This file holds no recipe of this studio.")
    try:
        return parse(Recipe, json.loads(text))
    except StudioError:
        raise
    except Exception as error:  # foreign text: a parser may raise anything
        raise StudioError("The recipe in this file is damaged.") from error


def _find_text(chunks: dict[str, str]) -> str | None:
    if SEVERAL in chunks:
        raise StudioError("This PNG shows several images or states of one, and no single one that a recipe draws.")
    return chunks.get(PARAMETERS if holds_old_recipe(chunks) else KEY)
