"""Existing images: the newest generated ones, files and uploads; and what prevents reproducing a recipe here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from postprocess.presets import Preset
from xray_generator.checkpoints import Manifest
from xray_generator.config import dump
from xray_generator.data.files import list_files
from xray_generator.data.naming import class_titles
from xray_generator.data.prompts import row_of_condition, row_of_prompt
from xray_generator.data.rows import Row, evenly
from xray_generator.dicom import FULL, Header, is_dicom, read_header, read_slice
from xray_generator.dicom.hounsfield import Window
from xray_generator.export.archive import Source
from xray_generator.export.marks import says_synthetic
from xray_generator.export.recipe import Recipe, find_recipe
from xray_generator.images import limit_pixels, read_image
from xray_generator.types import CheckpointRef, ClassLabel, Condition, Image, StudioError, TextPrompt

NUM_NEWEST = 40
MAX_SEARCHED = 1_000  # newest files of a folder whose recipes are read
EXACT = 2**52  # larger seeds do not fit the number field of a browser
MAX_PIXELS = 4_000_000  # larger images are scaled down; about a second per preset


def newest(folder: Path, flat: Path | None = None) -> dict[Path, Recipe]:
    """The newest raw images of a folder, and directly in `flat`, with their recipes, without enhanced ones."""
    paths = [*_list_pngs(folder), *(flat.glob("*.png") if flat else ())]
    known = ((path, read_recipe(path)) for path in _newest_first(paths, 3 * NUM_NEWEST))
    return dict([(path, recipe) for path, recipe in known if recipe and not recipe.preset][:NUM_NEWEST])


def find_sample(folder: Path, manifest: Manifest) -> Path | None:
    """The first of `find_samples`; None: there is none."""
    return next(iter(find_samples(folder, manifest, 1)), None)


def find_samples(folder: Path, manifest: Manifest, most: int) -> tuple[Path, ...]:
    """At most `most` images that stand for a checkpoint: of those in a folder that it drew, each of another condition.

    The first is the first normal one by name, or where there is none the first of all; a class is normal where it comes
    first in menus.
    """
    found: dict[Condition, Path] = {}
    for path in sorted(folder.glob("*.png")):
        recipe = read_recipe(path)
        if recipe and recipe.checkpoint == manifest.ref and not recipe.request.adapters and not recipe.preset:
            found.setdefault(recipe.request.condition, path)
    first_class = next(iter(class_titles(manifest.labels)), "")
    conditions = sorted(found, key=lambda condition: not _is_normal(condition, first_class))
    return tuple(found[condition] for condition in (*conditions[:1], *evenly(conditions[1:], most - 1)))


def _is_normal(condition: Condition, first_class: str) -> bool:
    match condition:
        case ClassLabel(label):
            return label == first_class
        case TextPrompt(text):
            return row_of_prompt(text).findings == ("no_finding",)
    return not first_class


@dataclass(frozen=True, slots=True)
class Drawn:
    """The images that a checkpoint drew."""

    rows: tuple[Row, ...]  # of `row_of_condition`: the labels that each prompt states, or the class
    notes: tuple[str, ...]  # sentences on images that were left out, and on settings
    next_seed: int  # above every seed of theirs


def find_drawn(manifest: Manifest, folders: Iterable[Path], most: int) -> Drawn:
    """At most `most` raw images of a checkpoint; the same file name in two folders counts once."""
    kept: dict[str, tuple[Path, Recipe]] = {}
    left_out: Counter[str] = Counter()
    for path in [path for folder in folders for path in _newest_first(_list_pngs(folder), MAX_SEARCHED)]:
        recipe = read_recipe(path)
        if recipe is None:
            left_out["without a recipe"] += 1
        elif recipe.checkpoint != manifest.ref:
            left_out["of other weights"] += 1
        elif recipe.request.adapters:
            left_out["drawn with adapters"] += 1
        elif recipe.origin is not None:  # its prompt is not what it shows
            left_out["edited or blended"] += 1
        elif recipe.preset:
            left_out["enhanced"] += 1
        elif len(kept) < most:
            kept.setdefault(path.name, (path, recipe))
    recommended = manifest.recommended
    settings = (recommended.scheduler, recommended.num_inference_steps, recommended.guidance_scale)
    requests = [recipe.request for _, recipe in kept.values()]
    others = sum((r.scheduler, r.num_inference_steps, r.guidance_scale) != settings or r.eta > 0 for r in requests)
    counts = ", ".join(f"{count:,} {reason}" for reason, count in sorted(left_out.items()))
    notes = [f"Generated images left out: {counts}."] if counts else []
    if others:
        notes.append(f"{others:,} generated images used other settings than the checkpoint recommends.")
    rows = tuple(_row_of(recipe.request.condition, path) for path, recipe in kept.values())
    return Drawn(rows, tuple(notes), max((r.seed for r in requests if r.seed < EXACT), default=-1) + 1)


def read_recipe(path: Path) -> Recipe | None:
    """The recipe in an image file, read again when the file changes; None: it has none."""
    return _read_recipe(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4 * MAX_SEARCHED)
def _read_recipe(path: Path, modified_ns: int) -> Recipe | None:  # noqa: ARG001 - read again when it changes
    return find_recipe(path.read_bytes())


@lru_cache(maxsize=4 * MAX_SEARCHED)
def _row_of(condition: Condition, path: Path) -> Row:
    return row_of_condition(condition, path)


def _list_pngs(folder: Path) -> list[Path]:
    return [path for path in list_files(folder) if path.suffix == ".png"] if folder.is_dir() else []


def _newest_first(paths: Iterable[Path], count: int) -> list[Path]:
    return sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)[:count]


def read_source(data: bytes, origin: str) -> Source:
    """Decode an image to enhance, at most 4 megapixels; an image of this studio keeps its recipe.

    Raises:
        StudioError: as for `images.read_image`.
    """
    notes: list[str] = []
    image = read_image(data, notes)
    origin = ", ".join([origin, *notes])
    limited = limit_pixels(image, MAX_PIXELS)
    if limited is not image:
        origin += f", scaled down from {image.shape[1]} x {image.shape[0]} pixels"
    header = _find_header(data)
    spacing_mm = _spacing(header, image, limited)
    return Source(limited, origin, find_recipe(data), says_synthetic(data), spacing_mm=spacing_mm)


def _find_header(data: bytes) -> Header | None:
    """The header of a DICOM file; None where there is none that can be read."""
    try:
        return read_header(data) if is_dicom(data) else None
    except StudioError:
        return None


def _spacing(header: Header | None, image: Image, limited: Image) -> tuple[float, float] | None:
    """What the header states of an image's pixels, for the larger ones of the image scaled down."""
    if header is None or header.spacing_mm is None:
        return None
    rows, columns = (before / after for before, after in zip(image.shape, limited.shape, strict=True))
    return header.spacing_mm[0] * rows, header.spacing_mm[1] * columns


def read_in_units(data: bytes, origin: str) -> Source:
    """Decode an image to look at: an axial CT slice over the whole scale of Hounsfield units, others as `read_source`.

    A CT file that holds no such slice is read as gray levels too; the origin says why.

    Raises:
        StudioError: as for `images.read_image`.
    """
    header = _find_header(data)
    if header is None or header.modality != "CT":
        return read_source(data, origin)
    try:
        return _read_ct(data, header, origin, FULL)
    except StudioError as error:
        return read_source(data, f"{origin}, in gray levels, not Hounsfield units ({error})")


def read_slice_source(data: bytes, origin: str, window: Window | None) -> Source:
    """Decode an image for a CT model: a CT DICOM file in Hounsfield units, through the model's window.

    Other files have no Hounsfield units; their gray levels are taken as those of the window. Without a window, the same
    as `read_source`.

    Raises:
        StudioError: as for `images.read_image` and `dicom.read_slice`.
    """
    if window is None:
        return read_source(data, origin)
    if is_dicom(data) and (header := read_header(data)).modality == "CT":
        source = _read_ct(data, header, origin, window)
        return replace(source, origin=f"{source.origin} through the window {window.low:g} to {window.high:g} HU")
    source = read_source(data, origin)
    return replace(source, origin=f"{source.origin}, gray levels taken for {window.low:g} to {window.high:g} HU")


def _read_ct(data: bytes, header: Header, origin: str, window: Window) -> Source:
    is_marked = says_synthetic(data)
    image = window.apply(read_slice(data).hu)
    limited = limit_pixels(image, MAX_PIXELS)
    return Source(
        limited,
        f"{origin}{', marked as synthetic' * is_marked}, Hounsfield units",
        is_marked=is_marked,
        hu_window=window,
        spacing_mm=_spacing(header, image, limited),
    )


def differences(
    recipe: Recipe,
    manifest: Manifest,
    presets: Sequence[Preset],
    upscaler: CheckpointRef | None = None,
    adapters: Collection[CheckpointRef] = (),
    here: Mapping[str, Any] | None = None,
) -> tuple[str, ...]:
    """Why `manifest` cannot reproduce a recipe's image bit by bit here, a sentence each; () if it can.

    `upscaler` names the weights that enlarge this manifest's images here, None where there are none; `adapters` those
    that can be added to it; `here` the facts of the run that is compared (`devices.runtime_facts`), None those of one
    that would begin now.
    """
    facts = _runtime_facts() if here is None else here
    return (
        *_other_model(recipe, manifest, upscaler),
        *_other_adapters(recipe, adapters),
        *_other_preset(recipe, presets),
        *_other_runtime(recipe, facts),
    )


def _other_model(recipe: Recipe, manifest: Manifest, upscaler: CheckpointRef | None) -> Iterator[str]:
    request = recipe.request
    if recipe.checkpoint != manifest.ref:
        yield (
            f"The weights that made this image ({recipe.checkpoint.name}, SHA-256 {recipe.checkpoint.sha256[:12]}) are "
            f"not here; {manifest.name} ({manifest.ref.sha256[:12]}) will draw another image."
        )
    if recipe.upscaler is not None:
        if recipe.upscaler != upscaler:
            yield f"The weights that enlarged this image ({recipe.upscaler.name}) are not here."
    elif request.height != request.width or request.height not in manifest.sizes:
        sizes = ", ".join(f"{size} x {size}" for size in manifest.sizes)
        yield f"The image has {request.width} x {request.height} pixels; {manifest.name} draws {sizes}."
    if request.scheduler and request.scheduler not in manifest.schedulers:
        allowed = ", ".join(manifest.schedulers)
        yield f"The image was sampled with {request.scheduler[:60]!r}; {manifest.name} samples with {allowed}."


def _other_adapters(recipe: Recipe, adapters: Collection[CheckpointRef]) -> Iterator[str]:
    for ref in (one.adapter for one in recipe.request.adapters if one.adapter not in adapters):
        yield f"The adapter of this image ({ref.name}, SHA-256 {ref.sha256[:12]}) is not here, or not of this model."


def _other_preset(recipe: Recipe, presets: Sequence[Preset]) -> Iterator[str]:
    if recipe.preset is None:
        return
    name = str(recipe.preset.get("name"))
    present = {preset.name: dump(preset) for preset in presets}
    if name not in present:
        yield f"There is no preset {name[:60]!r} here, so the image will not be enhanced."
    elif present[name] != recipe.preset:
        yield f"The preset {name!r} has other operations here, so the enhanced image will differ."


def _runtime_facts() -> dict[str, Any]:
    from xray_generator.devices import (
        pick_device,
        runtime_facts,
        set_threads,
    )  # imports torch: not for a menu

    set_threads()  # as before generating: torch has a number for each thread
    return runtime_facts(pick_device())


def _other_runtime(recipe: Recipe, facts: Mapping[str, Any]) -> Iterator[str]:
    for name, here in facts.items():
        there = recipe.runtime.get(name, "unknown")
        if there != here:
            yield f"Made with {name} {str(there)[:60]}, here {here}: the last bits may differ."
