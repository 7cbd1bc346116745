"""Images for the prompts or classes of rows, each drawn once and kept, so that a stopped run can go on."""

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

from xray_generator.abilities import Ablatable, Autoencoding
from xray_generator.data.rows import Row
from xray_generator.devices import runtime_facts
from xray_generator.evaluation.autoencoding import encode_and_decode
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
    Engine,
    GenerationRequest,
    OnStep,
    StudioError,
    TextPrompt,
    Unconditional,
    part,
)


def load_model(engine: Engine, template: GenerationRequest, folder: Path, on_step: OnStep | None = None) -> Model:
    """A checkpoint as an evaluation uses it, with the template's settings; its images are kept in `folder`.

    `on_step` is called while images are redrawn.
    """

    def redraw(rows: Sequence[Row], settings: dict[str, Any]) -> ImageSet:
        return draw_rows(engine, rows, replace(template, **settings), folder, on_step)

    request = engine.resolve(template)
    generate(engine, request)
    return Model(
        engine.manifest.ref,
        engine.components(),
        request,
        partial(generate, engine),
        redraw,
        peak_memory_mb(),
        engine,
        _autoencoder(engine),
        tuple(_variants(engine, template, folder)),
    )


def draw_rows(
    engine: Engine, rows: Sequence[Row], template: GenerationRequest, folder: Path, on_step: OnStep | None = None
) -> ImageSet:
    """Image i is made for row i with the template's settings and its seed + i.

    If the template has a prompt, the rows' prompts are used; otherwise their classes, or no condition where a row has
    no class.

    Each image is kept in `folder` as a PNG with its recipe, named after checkpoint, seed and recipe; existing ones are
    read. All are read back from their files, so that a run in pieces gives the same images as a run in one.

    Raises:
        StudioError: the checkpoint cannot serve the request, or the folder cannot be written to.
    """
    runtime = runtime_facts(engine.device)
    make_folder(folder)
    images, names = [], []
    for i, row in enumerate(tqdm(rows, desc="drawing", unit="image", disable=None)):
        by_class = ClassLabel(row.label) if row.label else Unconditional()
        condition = TextPrompt(row.prompt) if isinstance(template.condition, TextPrompt) else by_class
        single = replace(template, condition=condition, num_images=1, seed=template.seed + i)
        recipe = Recipe(engine.resolve(single), engine.manifest.ref, runtime)
        path = folder / f"{recipe.checkpoint.name}_seed{single.seed}_{recipe.digest}.png"
        if not _is_kept(path, recipe):
            drawn = generate(engine, recipe.request, part(on_step, i, len(rows)))
            write_file(path, encode_png(drawn.images[0], recipe))
        images.append(read_image(path))
        names.append(path.name)
    return ImageSet("generated", np.stack(images), tuple(rows), tuple(names))


def _is_kept(path: Path, recipe: Recipe) -> bool:
    try:
        return read_recipe(path.read_bytes()) == recipe
    except (OSError, StudioError):  # not there, or damaged
        return False


def _variants(engine: Engine, template: GenerationRequest, folder: Path) -> Iterator[Variant]:
    """Ablations whose engine differs keep their images apart: the same recipe makes another image there."""
    template = replace(template, num_inference_steps=None, guidance_scale=None, scheduler=None)  # as recommended
    for ablation in engine.ablations() if isinstance(engine, Ablatable) else ():
        place = folder if ablation.engine is engine else folder / re.sub(r"\W+", "_", ablation.change)
        request = replace(template, **ablation.settings)
        redraw = partial(draw_rows, ablation.engine, template=request, folder=place)
        yield Variant(ablation.change, ablation.predicted, redraw)


def _autoencoder(engine: Engine) -> Callable[[ImageSet], NDArray[np.float32]] | None:
    if not isinstance(engine, Autoencoding):
        return None
    return lambda images: np.stack([image for _, image in encode_and_decode(engine, images)])


def keep_samples(names: Sequence[str], drawn: Path, folder: Path, checkpoint: CheckpointRef) -> None:
    """Copy some images of the folder `drawn` to `folder`, and remove from there those of other weights.

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
