"""Small images with recipes, as a gallery holds them."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from postprocess.presets import PRESETS
from xray_generator.config import dump
from xray_generator.export.pictures import Picture
from xray_generator.export.recipe import Recipe
from xray_generator.types import CheckpointRef, ClassLabel, Edit, GenerationRequest, Morph, TextPrompt

IMAGE = np.linspace(0, 1, 32 * 32, dtype=np.float32).reshape(32, 32)
CHEST = CheckpointRef("latent_diffusion", "tiny", "ab" * 32)
CELLS = CheckpointRef("cvae", "cells", "cd" * 32)
DAY_S = 24 * 3_600
NOON = 1_700_000_000.0


def drawn(prompt: str = "Normal chest X-ray", seed: int = 1, **settings: object) -> Recipe:
    """The recipe of an image from a prompt."""
    request = GenerationRequest(TextPrompt(prompt), 1, 32, 32, 4, 3.0, "ddim", seed)
    return Recipe(replace(request, **settings), CHEST)


def cell(label: str = "lymphocyte", seed: int = 1) -> Recipe:
    """The recipe of an image of a class."""
    return Recipe(GenerationRequest(ClassLabel(label), 1, 32, 32, 4, 3.0, "ddim", seed), CELLS)


def enhanced(recipe: Recipe) -> Recipe:
    return replace(recipe, preset=dump(PRESETS[1]))


def edited(recipe: Recipe, prompt: str) -> Recipe:
    return replace(recipe, origin=Edit(prompt, source_prompt=recipe.request.condition.text))


def enlarged(recipe: Recipe) -> Recipe:
    larger = replace(recipe.request, height=64, width=64)
    return replace(recipe, request=larger, upscaler=CheckpointRef("super_resolution", "larger", "ef" * 32))


def blended(recipe: Recipe, other: Recipe) -> Recipe:
    return replace(recipe, origin=Morph(other.request, 0.5))


def keep(folder: Path, recipe: Recipe, at: float = NOON) -> str:
    """Write an image; return the name of its file."""
    picture = Picture(IMAGE, recipe)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / picture.file_name
    path.write_bytes(picture.png())
    os.utime(path, (at, at))
    return path.name
