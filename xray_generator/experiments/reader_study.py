"""Blind reader studies: people look at real and generated images one at a time, and say which is which.

A study is a folder with its images and one file that says what each of them is. As files the images are alike: of one
size, of 8 bits, of one number of bytes, and without metadata. What readers say of them is in `readings`.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from xray_generator import generation
from xray_generator.checkpoints import Manifest
from xray_generator.config import dump, parse
from xray_generator.dashboards.prompts import is_alike, similarity
from xray_generator.dashboards.side_by_side import SPLITS, UNSEEN
from xray_generator.data.prompts import row_of_condition
from xray_generator.data.rows import Row, row_conditions
from xray_generator.export.files import make_folder, write_file
from xray_generator.export.recipe import Recipe, find_recipe
from xray_generator.folders import staged
from xray_generator.images import encode_png, read_image, resize_square
from xray_generator.registry import reads_prompts
from xray_generator.requests import describe_condition, make_request, read_condition
from xray_generator.types import (
    NO_PREVIEW,
    CheckpointRef,
    Engine,
    GenerationRequest,
    Image,
    OnStep,
    Preview,
    StudioError,
    no_report,
    part,
)

MIN_EACH, MAX_EACH = 5, 100  # images of each kind in a study
MAX_MATCHED = 1_000  # real images among which partners are looked for
ALIKE = 1e6  # more than all similarities together: first as many pairs as can be, then the most similar ones
FILE, ID = "study.json", re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Item:
    """What one image of a study is: hidden from readers until they have judged all."""

    is_generated: bool
    conditions: tuple[str, ...]  # its class, findings, view, sex and age group, as far as they are known
    origin: str  # the file and source of a real image; what a generated one was drawn for, and its seed


@dataclass(frozen=True, slots=True)
class Study:
    """Which images readers see. Their places in it tell nothing of what they are."""

    id: str  # the name of its folder
    checkpoint: CheckpointRef
    size: int  # pixels a side
    seed: int
    owner: str  # the person who made it
    created: float  # seconds since 1970
    items: tuple[Item, ...]

    def order(self, reader: str) -> tuple[int, ...]:
        """The places of the images in the order in which a reader sees them: another one for each reader."""
        return tuple(map(int, self.rng(reader).permutation(len(self.items))))

    def rng(self, reader: str) -> np.random.Generator:
        """The random numbers of a reader."""
        name = int.from_bytes(hashlib.sha256(reader.encode()).digest()[:8])
        return np.random.default_rng([self.seed, name])


@dataclass(frozen=True, slots=True, eq=False)
class Specimen:
    """An image for a study, and what it is."""

    image: Image
    item: Item


def list_real(manifest: Manifest, rows: Iterable[Row]) -> tuple[Row, ...]:
    """The real images that may stand beside those of a checkpoint: of what it learned from, but not its train split.

    Images smaller than the model's are left out where there are enough others: they would be blurred by enlarging.
    """
    sources = () if manifest.labels else manifest.data.sources
    unseen = [row for row in rows if row.split in SPLITS[UNSEEN] and (not sources or row.source in sources)]
    if reads_prompts(manifest):
        unseen = [row for row in unseen if row.prompt]
    sharp = [row for row in unseen if row.native_size == 0 or row.native_size >= manifest.sizes[0]]
    return tuple(sharp if len(sharp) >= MIN_EACH else unseen)


def list_samples(folder: Path, manifest: Manifest) -> tuple[Row, ...]:
    """The raw images in a folder that a checkpoint drew at its own size, each with what it was drawn for."""
    rows = []
    for path in sorted(folder.glob("*.png")):
        recipe = find_recipe(path.read_bytes())
        if recipe is not None and _is_raw(recipe, manifest):
            rows.append(row_of_condition(recipe.request.condition, path))
    return tuple(rows)


def _is_raw(recipe: Recipe, manifest: Manifest) -> bool:
    is_changed = recipe.preset or recipe.origin or recipe.upscaler or recipe.request.adapters
    return recipe.checkpoint == manifest.ref and recipe.request.height == manifest.sizes[0] and not is_changed


def match_rows(generated: Sequence[Row], real: Sequence[Row]) -> tuple[tuple[Row, Row], ...]:
    """As many pairs as there are of a generated image and a real one of its condition, each image in one pair.

    The real one meets all that the other was drawn for (`prompts.is_alike`), so that what an image shows does not tell
    what it is; of several ways the one with the most similar pairs is taken.
    """
    if not generated or not real:
        return ()
    real = real[:MAX_MATCHED]
    scores = np.array(
        [[ALIKE + similarity(one, other) if is_alike(one, other) else 0.0 for other in real] for one in generated]
    )
    places = zip(*linear_sum_assignment(scores, maximize=True), strict=True)
    return tuple((generated[i], real[j]) for i, j in places if scores[i, j])


def study_of_samples(
    manifest: Manifest, pairs: Sequence[tuple[Row, Row]], count: int, *, seed: int, owner: str, root: Path
) -> Study:
    """A study of `count` pairs of `match_rows`, drawn by lot, kept in a folder of `root`.

    Raises:
        StudioError: fewer than five pairs can be read, or the folder takes none.
    """
    specimens: list[Specimen] = []
    for place in np.random.default_rng(seed).permutation(len(pairs)):
        if len(specimens) < 2 * count:
            with suppress(StudioError):  # both or none
                generated, real = pairs[place]
                specimens += [_read_sample(generated, manifest), _read_real(real, manifest)]
    return keep_study(specimens, manifest, seed=seed, owner=owner, root=root)


def draw_study(
    engine: Engine,
    rows: Sequence[Row],
    count: int,
    *,
    seed: int,
    owner: str,
    root: Path,
    on_step: OnStep | None = None,
) -> Study:
    """A study of `count` real images of `list_real`, drawn by lot, and as many generated ones, drawn now for the same.

    Those are drawn with the recommended settings, are not shown on the way, and are kept in the study alone.

    Raises:
        Canceled: raised by `on_step`; takes effect within one step.
        StudioError: fewer than five real images can be read, or the folder takes none.
    """
    manifest, report = engine.manifest, on_step or no_report
    pairs: list[tuple[Row, Specimen]] = []
    for place in np.random.default_rng(seed).permutation(len(rows)):
        if len(pairs) < count:
            with suppress(StudioError):
                pairs.append((rows[place], _read_real(rows[place], manifest)))
    _check_number(len(pairs))

    def count_step(step: int, total: int, _: Preview) -> None:
        report(step, total, lambda: NO_PREVIEW)

    specimens = [specimen for _, specimen in pairs]
    for done, (row, _) in enumerate(pairs):
        prompt, label = (row.prompt, None) if reads_prompts(manifest) else (None, row.label or None)
        condition = read_condition(manifest, prompt, label)
        request = make_request(condition, seed=seed + done, size=manifest.sizes[0])
        result = generation.generate(engine, request, part(count_step, done, len(pairs)))
        specimens.append(Specimen(result.images[0], _describe(request, row_of_condition(condition, row.path))))
    return keep_study(specimens, manifest, seed=seed, owner=owner, root=root)


def _read_real(row: Row, manifest: Manifest) -> Specimen:
    origin = ", ".join(filter(None, (row.path.name, row.source, row.license)))
    return Specimen(resize_square(row.image(), manifest.sizes[0]), Item(False, row_conditions(row), origin))


def _read_sample(row: Row, manifest: Manifest) -> Specimen:
    try:
        data = row.path.read_bytes()
    except OSError as error:
        raise StudioError(f"{row.path.name} cannot be read: {error.strerror}.") from error
    recipe = find_recipe(data)
    if recipe is None or not _is_raw(recipe, manifest):
        raise StudioError(f"{row.path.name} is no longer an image of {manifest.name}.")
    return Specimen(read_image(data), _describe(recipe.request, row))


def _describe(request: GenerationRequest, row: Row) -> Item:
    return Item(True, row_conditions(row), f"{describe_condition(request.condition)}, seed {request.seed}")


def _check_number(count: int) -> None:
    if count < MIN_EACH:
        raise StudioError(f"A study needs {MIN_EACH} images or more of each kind; {count} can be read.")


def keep_study(specimens: Sequence[Specimen], manifest: Manifest, *, seed: int, owner: str, root: Path) -> Study:
    """Write a study of some images, shuffled, into a folder of its own in `root`.

    Raises:
        StudioError: fewer than five of a kind, or the folder takes none.
    """
    num_generated = sum(one.item.is_generated for one in specimens)
    _check_number(min(num_generated, len(specimens) - num_generated))
    order = np.random.default_rng([seed, len(specimens)]).permutation(len(specimens))
    items = tuple(specimens[place].item for place in order)
    study = Study(uuid.uuid4().hex[:12], manifest.ref, manifest.sizes[0], seed, owner, time.time(), items)
    make_folder(root)
    with staged(root / study.id) as folder:
        for place, origin in enumerate(order):
            write_file(_image_path(folder, place), encode_blind(specimens[origin].image))
        write_file(folder / FILE, json.dumps(dump(study), ensure_ascii=False, indent=1).encode())
    return study


def encode_blind(image: Image) -> bytes:
    """8-bit gray PNG without metadata, whose number of bytes depends on the shape alone: smooth images shrink more."""
    return encode_png(image, is_compressed=False)


def list_studies(root: Path) -> tuple[Study, ...]:
    """The studies in a folder, the newest first."""
    found = (read_study(root, path.parent.name) for path in root.glob(f"*/{FILE}"))
    return tuple(sorted((study for study in found if study), key=lambda study: study.created, reverse=True))


def read_study(root: Path, study_id: str) -> Study | None:
    """A study by its id; None where there is none that can be read."""
    if not ID.fullmatch(study_id):
        return None
    try:
        return parse(Study, json.loads((root / study_id / FILE).read_bytes()))
    except (OSError, ValueError, RecursionError):  # gone, damaged, or of another version
        return None


def read_blind(root: Path, study: Study, place: int) -> bytes:
    """The PNG of one image; StudioError where it is gone."""
    try:
        return _image_path(root / study.id, place).read_bytes()
    except OSError as error:
        raise StudioError(f"Image {place + 1} of this study cannot be read: {error.strerror}.") from error


def _image_path(folder: Path, place: int) -> Path:
    return folder / f"{place:03}.png"


def delete_study(root: Path, study: Study) -> None:
    """Delete a study with all that its readers said."""
    shutil.rmtree(root / study.id, ignore_errors=True)
