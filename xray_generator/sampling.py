"""Images for the prompts or classes of rows, each drawn once and kept: a run that was killed goes on from there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from xray_generator.abilities import Ablatable, Autoencoding, ClassAutoencoding
from xray_generator.data.rows import Row
from xray_generator.devices import runtime_facts
from xray_generator.evaluation.autoencoding import latents_and_copies
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.speed import peak_memory_mb
from xray_generator.evaluation.study import Model, Variant
from xray_generator.export.files import make_folder, write_file
from xray_generator.export.recipe import Recipe, encode_png, find_recipe, read_recipe
from xray_generator.generation import generate
from xray_generator.images import read_image
from xray_generator.types import (
    CheckpointRef,
    ClassLabel,
    Condition,
    Engine,
    GenerationRequest,
    StudioError,
    TextPrompt,
    Unconditional,
)


def draw_rows(engine: Engine, rows: Sequence[Row], template: GenerationRequest, folder: Path) -> ImageSet:
    """Image i shows what row i is with the template's settings and its seed + i.

    A template with a prompt asks for the rows' prompts; any other one for their classes, or for none where a row has
    none.

    Each lies in `folder` as a PNG with its recipe, under a name made of checkpoint, seed and recipe; one that is there
    already is read. All are read back from their files, so that a run in pieces gives what a run in one does.

    Raises:
        StudioError: the checkpoint cannot do what is asked, or the folder cannot be written to.
    """
    runtime = runtime_facts(engine.device)
    make_folder(folder)
    images, names = [], []
    for i, row in enumerate(tqdm(rows, desc="drawing", unit="image", disable=None)):
        condition = _condition(row, template.condition)
        single = replace(template, condition=condition, num_images=1, seed=template.seed + i)
        recipe = Recipe(engine.resolve(single), engine.checkpoint, runtime)
        path = folder / f"{recipe.checkpoint.name}_seed{single.seed}_{recipe.digest}.png"
        if not _is_kept(path, recipe):
            write_file(path, encode_png(generate(engine, recipe.request).images[0], recipe))
        images.append(read_image(path))
        names.append(path.name)
    return ImageSet("generated", np.stack(images), tuple(rows), tuple(names))


def _condition(row: Row, kind: Condition) -> Condition:
    if isinstance(kind, TextPrompt):
        return TextPrompt(row.prompt)
    return ClassLabel(row.label) if row.label else Unconditional()


def load_model(engine: Engine, template: GenerationRequest, folder: Path) -> Model:
    """A checkpoint as an evaluation asks it, with the template's settings; what it draws is kept in `folder`."""

    def redraw(rows: Sequence[Row], settings: dict[str, Any]) -> ImageSet:
        return draw_rows(engine, rows, replace(template, **settings), folder)

    request = engine.resolve(template)
    generate(engine, request)
    return Model(
        engine.checkpoint,
        engine.components(),
        request,
        lambda asked: generate(engine, asked),
        redraw,
        peak_memory_mb(),
        _autoencoder(engine),
        tuple(_variants(engine, template, folder)),
    )


def _variants(engine: Engine, template: GenerationRequest, folder: Path) -> Iterator[Variant]:
    """Each keeps its images apart: with an engine of other settings the same recipe makes another image."""
    template = replace(template, num_inference_steps=None, guidance_scale=None, scheduler=None)  # as recommended
    for ablation in engine.ablations() if isinstance(engine, Ablatable) else ():
        place = folder if ablation.engine is engine else folder / re.sub(r"\W+", "_", ablation.change)
        asked = replace(template, **ablation.settings)
        yield Variant(ablation.change, ablation.predicted, partial(_redraw, ablation.engine, asked, place))


def _redraw(engine: Engine, template: GenerationRequest, folder: Path, rows: Sequence[Row]) -> ImageSet:
    return draw_rows(engine, rows, template, folder)


def _autoencoder(engine: Engine) -> Callable[[ImageSet], NDArray[np.float32]] | None:
    if not isinstance(engine, (Autoencoding, ClassAutoencoding)):
        return None
    return lambda images: np.stack([copy for _, copy in latents_and_copies(engine, images)])


def keep_samples(names: Sequence[str], drawn: Path, folder: Path, checkpoint: CheckpointRef) -> None:
    """Copy some of the images that lie in `drawn` to `folder`; those of other weights go.

    Raises:
        StudioError: the folder cannot be written to.
    """
    make_folder(folder)
    for path in folder.glob("*.png"):
        recipe = find_recipe(path.read_bytes())
        if recipe is None or recipe.checkpoint != checkpoint:
            path.unlink()
    for name in names:
        write_file(folder / name, (drawn / name).read_bytes())


def _is_kept(path: Path, recipe: Recipe) -> bool:
    try:
        return read_recipe(path.read_bytes()) == recipe
    except (OSError, StudioError):  # not there, or damaged
        return False
