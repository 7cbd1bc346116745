"""The recipe inside every exported PNG: all that is needed to reproduce the image, and that it is synthetic."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image as PILImage

from postprocess.presets import Preset, from_json
from xray_generator import __version__, images
from xray_generator.config import dump, parse
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

KEY = "parameters"  # the text chunk that other image generators use too


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
        earlier = from_json(json.dumps(recipe.preset))
        preset = replace(preset, operations=earlier.operations + preset.operations)
    return replace(recipe, preset=dump(preset))


def recipe_chunks(recipe: Recipe) -> dict[str, str]:
    """The text chunks of a PNG: the recipe as JSON in `parameters`, the notice, the software."""
    return {
        KEY: json.dumps(dump(recipe), ensure_ascii=False, sort_keys=True),
        "Description": recipe.notice,
        "Software": f"xray_generator {__version__}",
    }


def encode_png(image: Image, recipe: Recipe) -> bytes:
    """8-bit gray PNG that holds its recipe."""
    return images.encode_png(image, recipe_chunks(recipe))


def find_recipe(data: bytes) -> Recipe | None:
    """The recipe inside a PNG of this studio; None for any other file."""
    try:
        return read_recipe(data)
    except StudioError:
        return None


def says_synthetic(data: bytes) -> bool:
    """Whether a PNG is marked as synthetic by this studio: with one or several recipes, or the notice."""
    try:
        text = getattr(PILImage.open(io.BytesIO(data), formats=["PNG"]), "text", {})
    except Exception:  # noqa: BLE001 - foreign bytes: a decoder may raise anything
        return False
    return KEY in text or "recipes" in text or "Synthetic" in str(text.get("Description", ""))


def read_recipe(data: bytes) -> Recipe:
    """The recipe inside a PNG.

    Raises:
        StudioError: not a PNG, or one without a recipe of ours.
    """
    try:
        text = getattr(PILImage.open(io.BytesIO(data), formats=["PNG"]), "text", {}).get(KEY)
        if text is None:
            raise StudioError("This PNG holds no recipe of this studio.")
        return parse(Recipe, json.loads(text))
    except StudioError:
        raise
    except Exception as error:  # foreign bytes: a decoder may raise anything
        raise StudioError("This is not a PNG with a recipe.") from error
