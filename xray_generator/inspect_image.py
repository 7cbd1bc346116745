"""`python -m xray_generator.inspect_image`: whether a file says that its image is synthetic, and how it was made.

    python -m xray_generator.inspect_image outputs/generated/chest_xray_256_seed1_0123abcd.png
    python -m xray_generator.inspect_image unknown.dcm --json

Reads PNG, JPEG, TIFF and DICOM. It reads marks, which can be removed and copied; it judges no pixels. The exit code is
0 whatever the answer, and 1 where the file cannot be read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xray_generator.album.facts import facts
from xray_generator.checkpoints import list_checkpoints
from xray_generator.config import dump
from xray_generator.console import exit_code
from xray_generator.export.marks import find_marks
from xray_generator.export.recipe import Recipe, read_recipe
from xray_generator.images import read_image
from xray_generator.studio import Studio
from xray_generator.types import CheckpointRef, StudioError

CERTAINTY = {
    "recipe": "yes, as it says: marked, with a complete recipe; `xray-studio reproduce` tells whether that draws it",
    "mark": "yes, as it says: marked, without a complete recipe",
    "none": "not known: not measured, and no mark is found; that is no proof of a real image",
}


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights that a recipe names."""

    role: str  # what they did to the image
    checkpoint: CheckpointRef
    is_here: bool


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a file says of where its image comes from."""

    width: int  # pixels
    height: int
    is_synthetic: bool | None  # None: not known, as no mark is found
    certainty: Literal["recipe", "mark", "none"]
    marks: tuple[str, ...]
    reason: str  # why there is no complete recipe; empty where there is one
    weights: tuple[Weights, ...]
    recipe: Recipe | None


def inspect(studio: Studio, data: bytes) -> Inspection:
    """Read the marks and the recipe of an image file; StudioError where it is no image that is read."""
    height, width = read_image(data).shape
    recipe, reason = None, ""
    try:
        recipe = read_recipe(data)
    except StudioError as error:
        reason = str(error)
    marks = find_marks(data)
    certainty: Literal["recipe", "mark", "none"] = "recipe" if recipe else "mark" if marks else "none"
    here = {manifest.ref for manifest in list_checkpoints(studio.checkpoint_root)}
    named = _list_weights(recipe) if recipe else {}
    return Inspection(
        width,
        height,
        True if recipe or marks else None,
        certainty,
        marks,
        reason,
        tuple(Weights(role, ref, ref in here) for ref, role in named.items()),
        recipe,
    )


def _list_weights(recipe: Recipe) -> dict[CheckpointRef, str]:
    """What each of the weights that a recipe names did."""
    adapters = {one.adapter: f"adapted at weight {one.weight:g} by" for one in recipe.request.adapters}
    enlarged = {recipe.upscaler: "enlarged by"} if recipe.upscaler else {}
    return {recipe.checkpoint: "drawn by"} | adapters | enlarged


def describe(found: Inspection) -> Iterator[str]:
    """An inspection in plain lines."""
    yield f"synthetic: {CERTAINTY[found.certainty]}"
    yield f"size: {found.width} x {found.height} pixels"
    yield from (f"mark: {mark}" for mark in found.marks)
    if found.recipe is None:
        yield f"recipe: none ({found.reason})"
        return
    for weights in found.weights:
        ref, place = weights.checkpoint, "here" if weights.is_here else "not here"
        yield f"{weights.role}: {ref.full_name}, SHA-256 {ref.sha256}; these weights are {place}"
    yield from (f"{name[:1].lower()}{name[1:]}: {value}" for name, value in facts(found.recipe).items())
    yield f"notice: {found.recipe.notice}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m xray_generator.inspect_image", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, metavar="FILE", help="PNG, JPEG, TIFF or DICOM")
    parser.add_argument("--json", action="store_true", help="the same as one JSON object")
    return parser


def _run(options: argparse.Namespace) -> None:
    found = inspect(Studio(), options.file.read_bytes())
    print(json.dumps(dump(found), ensure_ascii=False) if options.json else "\n".join(describe(found)))  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
