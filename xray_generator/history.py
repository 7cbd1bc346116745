"""What a person left in a folder, to be found again after a reload or a restart: results of requests, and the form.

A result is a small file that names the images, which are PNG files with their recipes beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from glob import escape
from pathlib import Path
from typing import TypeVar

from xray_generator.config import dump, parse
from xray_generator.export.files import make_folder, write_json
from xray_generator.export.pictures import file_name
from xray_generator.export.recipe import Recipe, common_recipe, recipes
from xray_generator.images import read_image
from xray_generator.types import GenerationRequest, GenerationResult, Image

SUFFIX, FORM = ".result.json", "form.json"
DIGEST = "?" * 8  # in a pattern of names

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeptResult:
    """A result on disk."""

    recipe: Recipe  # of all images together
    latencies_ms: tuple[float, ...]
    notes: tuple[str, ...]
    files: tuple[str, ...]  # the names of the images, in order


@dataclass(frozen=True, slots=True)
class Form:
    """What the Generator's form asks for."""

    checkpoint: str
    request: GenerationRequest
    preset: str
    has_new_seed: bool  # each time, in place of the request's


def result_path(result: GenerationResult, folder: Path) -> Path:
    """Where a result is kept: the same for equal requests to the same weights, however many images are finished."""
    return folder / f"{result.checkpoint.name}_{common_recipe(result).digest}{SUFFIX}"


def keep_result(result: GenerationResult, folder: Path) -> Path:
    """Write which images in the folder are those of a result, anew as it grows; StudioError: it cannot be written."""
    kept = KeptResult(common_recipe(result), result.latencies_ms, result.notes, _list_files(result))
    return _write(result_path(result, folder), kept)


def list_results(folder: Path, checkpoint: str) -> list[Path]:
    """The results of a checkpoint by name in a folder, the newest first."""
    found = folder.glob(f"{escape(checkpoint)}_{DIGEST}{SUFFIX}")
    return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def read_kept(path: Path) -> KeptResult | None:
    """What a file of `list_results` says; None: it is of another version."""
    return _read(KeptResult, path)


def load_result(path: Path) -> GenerationResult | None:
    """A result of `list_results`: its images, without those that are gone, have the 8 bits of their files; None: none.

    Decoded again when the result has grown, or other files of it are there.
    """
    kept = read_kept(path)
    present = [(path.parent / Path(name).name).is_file() for name in kept.files] if kept else []
    return _load(path, path.stat().st_mtime_ns, tuple(present)) if any(present) else None


@lru_cache(maxsize=32)
def _load(path: Path, modified_ns: int, present: tuple[bool, ...]) -> GenerationResult | None:  # noqa: ARG001 - as above
    kept = read_kept(path)
    images = dict(_read_images(path.parent, kept.files[: len(kept.latencies_ms)])) if kept else {}
    if kept is None or not images:
        return None
    recipe = kept.recipe
    return GenerationResult(
        tuple(images.values()),
        recipe.request,
        recipe.checkpoint,
        tuple(kept.latencies_ms[place] for place in images),
        kept.notes,
        recipe.runtime,
        recipe.origin,
        recipe.upscaler,
        tuple(images),
    )


def _read_images(folder: Path, names: tuple[str, ...]) -> Iterator[tuple[int, Image]]:
    """Each image that can be read, with its place in the request."""
    for place, name in enumerate(names):
        with suppress(ValueError, OSError):  # no image, or no name of a file
            yield place, read_image(folder / Path(name).name)


def without_gone(result: GenerationResult, folder: Path) -> GenerationResult | None:
    """A result in memory without the images whose files in the folder are gone; None: all are."""
    here = [index for index, name in enumerate(_list_files(result)) if (folder / name).is_file()]
    if len(here) == len(result.images):
        return result
    images = tuple(result.images[index] for index in here)
    latencies_ms = tuple(result.latencies_ms[index] for index in here)
    places = tuple(result.seeds[index] - result.request.seed for index in here)
    return replace(result, images=images, latencies_ms=latencies_ms, places=places) if here else None


def _list_files(result: GenerationResult) -> tuple[str, ...]:
    """The names of the files of its images, in order."""
    return tuple(map(file_name, recipes(result)))


def keep_form(form: Form, folder: Path) -> Path:
    """Write the form; StudioError: it cannot be written."""
    make_folder(folder)
    return _write(folder / FORM, form)


def read_form(folder: Path) -> Form | None:
    """The form that was left in a folder; None: there is none, or it is of another version."""
    return _read(Form, folder / FORM)


def _write(path: Path, value: object) -> Path:
    return write_json(path, dump(value))


def _read(kind: type[T], path: Path) -> T | None:
    try:
        return parse(kind, json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):  # absent, damaged, or of another version
        return None
