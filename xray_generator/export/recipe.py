"""The recipe inside every exported PNG: all that is needed to make the image again, and that it is synthetic."""

from __future__ import annotations

import hashlib
import io
import json
import platform
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

from PIL import Image as PILImage
from PIL.PngImagePlugin import PngInfo

from xray_generator import __version__
from xray_generator.config import dump, parse
from xray_generator.images import to_uint8
from xray_generator.types import NOTICE, CheckpointRef, GenerationRequest, GenerationResult, Image, StudioError

KEY = "parameters"  # the PNG text chunk that other studios use too


@dataclass(frozen=True, slots=True)
class Recipe:
    """One image's origin. Holds no time and no place in a batch, so that equal images are equal files."""

    request: GenerationRequest  # of this image alone: one image, its own seed
    checkpoint: CheckpointRef
    runtime: dict[str, Any] = field(default_factory=dict)  # versions, threads: what bit-equality depends on
    preset: dict[str, Any] | None = None  # the enhancement applied; None: the raw image
    synthetic: bool = True
    notice: str = NOTICE

    @property
    def digest(self) -> str:
        """Eight hex digits that differ wherever the recipe does."""
        return hashlib.sha256(json.dumps(dump(self), sort_keys=True).encode()).hexdigest()[:8]


def recipes(result: GenerationResult, preset: dict[str, Any] | None = None) -> tuple[Recipe, ...]:
    """The recipe of each image of a result."""
    runtime = runtime_facts()
    return tuple(
        Recipe(replace(result.request, num_images=1, seed=seed), result.checkpoint, runtime, preset)
        for seed in result.seeds
    )


def runtime_facts() -> dict[str, Any]:
    """Versions, machine and threads."""
    import torch

    return {
        "xray_generator": __version__, "torch": torch.__version__, "diffusers": version("diffusers"),
        "machine": platform.machine(), "threads": torch.get_num_threads(), "cuda": torch.cuda.is_available(),
    }  # fmt: skip


def encode_png(image: Image, recipe: Recipe) -> bytes:
    """8-bit grey PNG with the recipe as JSON in the text chunk `parameters`."""
    chunks = PngInfo()
    chunks.add_itxt(KEY, json.dumps(dump(recipe), ensure_ascii=False, sort_keys=True))
    chunks.add_itxt("Description", recipe.notice)
    chunks.add_itxt("Software", f"xray_generator {__version__}")
    buffer = io.BytesIO()
    PILImage.fromarray(to_uint8(image)).save(buffer, format="PNG", pnginfo=chunks)
    return buffer.getvalue()


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
