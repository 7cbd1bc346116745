"""The latent space of a model of classes: ways through it, images brought into it and back, a map, and sizes compared.

Everything is made of latents that the model draws itself, or of the one image that a visitor gives. Latents of training
images are never shown: an image can be made of them again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xray_generator.abilities import ClassAutoencoding, LatentDirection, Traversing
from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.reconstruction import GAIN
from xray_generator.data.class_folders import has_class_folders
from xray_generator.data.fitting import FittedImage, fit_square
from xray_generator.data.read import is_labeled
from xray_generator.data.rows import Row, evenly
from xray_generator.evaluation.image_quality import compare_pairs
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.records import Measurement
from xray_generator.images import from_tensor, to_tensor
from xray_generator.types import (
    ClassLabel,
    Engine,
    GenerationRequest,
    GenerationResult,
    Image,
    OnStep,
    Preview,
    StudioError,
)

if TYPE_CHECKING:
    from torch import Tensor

FAMILIES = frozenset({"cvae"})  # whose engines are `Traversing` and `ClassAutoencoding`; asking loads none
NUM_DIRECTIONS = 6
AMOUNTS = tuple(step / 2 for step in range(-6, 7))  # standard deviations
NUM_STRIP = 7  # of them stand in a strip
PER_CLASS, MAP_BATCH = 24, 8  # samples of a map
MIN_CONTENT = 16  # pixels: SSIM looks at 11 at once
Load = Callable[[], Engine]
Draw = Callable[[GenerationRequest, str | None, OnStep | None], GenerationResult]  # as `Studio.generate`


@dataclass(frozen=True, slots=True, eq=False)
class Travel:
    """An image moved along a principal direction of its class, by each of AMOUNTS."""

    start: GenerationResult  # the image itself; its time is that of all of them
    images: tuple[Image, ...]
    directions: tuple[LatentDirection, ...]  # of the class: measured once
    index: int  # of the direction

    @property
    def share(self) -> float:
        """Of the variance of the class's samples, along the direction."""
        return self.directions[self.index].share

    def strip(self) -> tuple[Image, ...]:
        """Seven of the images, evenly from the least amount to the greatest."""
        return self.images[:: len(self.images) // (NUM_STRIP - 1)]


@dataclass(frozen=True, slots=True, eq=False)
class Copy:
    """An image as the model sees it, and as it gives it back: told its class, and told each other one."""

    original: Image  # a square of the model's size
    copy: Image
    difference: Image  # gain times |copy - original|, cut off at 1
    label: str
    others: dict[str, Image]  # by the class that the decoder was told
    measurements: tuple[Measurement, ...]  # mse, ssim, psnr of the copy, where the image is, not on the padding
    latents: NDArray[np.float32]  # (C, h, w)
    gain: float = GAIN


@dataclass(frozen=True, slots=True, eq=False)
class LatentMap:
    """Samples of every class as points: the two directions in which all of them differ most."""

    labels: tuple[str, ...]  # of each point
    seeds: tuple[int, ...]
    points: NDArray[np.float64]  # (N, 2)
    shares: tuple[float, float]  # of the variance
    mean: NDArray[np.float64]  # (D,)
    axes: NDArray[np.float64]  # (2, D)

    def csv(self) -> str:
        """A line for each point: class, seed, its two coordinates."""
        lines = (
            f"{label},{seed},{x:.6g},{y:.6g}"
            for label, seed, (x, y) in zip(self.labels, self.seeds, self.points.tolist(), strict=True)
        )
        return "\n".join(("synthetic_class,seed,component_1,component_2", *lines, ""))

    def place(self, latents: NDArray[np.float32]) -> tuple[float, float]:
        """Where latents (C, h, w) lie on the map."""
        x, y = self.axes @ (latents.ravel().astype(np.float64) - self.mean)
        return float(x), float(y)


@dataclass(frozen=True, slots=True, eq=False)
class RealImages:
    """Training images of a class, as a model of some size sees them."""

    images: tuple[Image, ...]  # (size, size)
    rows: tuple[Row, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Images of one class: real ones, and generated ones of each size."""

    label: str
    real: RealImages
    generated: tuple[GenerationResult, ...]


def has_latents(manifest: Manifest) -> bool:
    """Whether the latents of a checkpoint can be explored."""
    return manifest.family in FAMILIES


def travel(
    load: Load, request: GenerationRequest, index: int, known: Sequence[LatentDirection], on_step: OnStep
) -> Travel:
    """Draw the image of a request and move it by AMOUNTS along a principal direction of its class.

    Args:
        load: gives the engine.
        request: its first image is moved.
        index: of the direction, from 0: that of most variance.
        known: the directions of this class where they were measured before; else none.
        on_step: called after each step of the prior.

    Raises:
        StudioError: the checkpoint cannot do what is asked.
    """
    engine = _ready(load)
    if not isinstance(engine, Traversing):
        raise _unable(engine)
    resolved = engine.resolve(replace(request, num_images=1))
    label = resolved.condition.label if isinstance(resolved.condition, ClassLabel) else None
    directions = tuple(known) or engine.directions(label, NUM_DIRECTIONS)
    started = time.perf_counter()
    images = from_tensor(engine.traverse(resolved, directions[index], AMOUNTS, on_step))
    milliseconds = (time.perf_counter() - started) * 1_000
    from xray_generator.devices import runtime_facts

    facts, start = runtime_facts(engine.device), images[AMOUNTS.index(0)]
    found = GenerationResult((start,), resolved, engine.checkpoint, (milliseconds,), runtime=facts)
    return Travel(found, images, directions, index)


def copy_image(load: Load, image: Image, label: str, labels: Sequence[str], on_step: OnStep) -> Copy:
    """Bring an image of any shape into the latents and back, as one of a class; then decode it as each other class.

    Raises:
        StudioError: the class is unknown, or the checkpoint cannot do this.
    """
    engine = _ready(load)
    if not isinstance(engine, ClassAutoencoding):
        raise _unable(engine)
    fitted = fit_square(image, max(engine.sizes))
    latents = engine.encode(to_tensor(fitted.image[None]), label)
    told = (label, *(other for other in labels if other != label))
    copies: dict[str, Image] = {}
    for count, name in enumerate(told, start=1):
        (copies[name],) = from_tensor(engine.decode(latents, name))
        on_step(count, len(told), lambda name=name: copies[name])  # type: ignore[misc]
    copy = copies.pop(label)
    difference = np.clip(np.abs(copy - fitted.image) * GAIN, 0, 1).astype(np.float32)
    numbers = latents[0].float().cpu().numpy()
    return Copy(fitted.image, copy, difference, label, copies, _similarity(fitted, copy), numbers)


def map_latents(load: Load, labels: Sequence[str], on_step: OnStep, per_class: int = PER_CLASS) -> LatentMap:
    """Draw `per_class` samples of every class, seeds from 0 on, and lay them out by their principal components.

    Raises:
        StudioError: the checkpoint cannot do this.
    """
    engine = _ready(load)
    if not isinstance(engine, Traversing) or not isinstance(engine, ClassAutoencoding):
        raise _unable(engine)
    from xray_generator.devices import seeded_generators

    drawn, total = [], len(labels) * per_class
    for place, label in enumerate(labels):
        for start in range(0, per_class, MAP_BATCH):
            count = min(MAP_BATCH, per_class - start)
            latents = engine.draw_latents(label, seeded_generators(start, count))
            drawn.append(latents.float().cpu().numpy().reshape(count, -1).astype(np.float64))
            preview = partial(_decode_first, engine, latents, label)
            on_step(place * per_class + start + count, total, preview)
    values = np.concatenate(drawn)
    mean = values.mean(axis=0)
    _, scale, axes = np.linalg.svd(values - mean, full_matrices=False)
    axes = axes[:2] * np.sign(axes[np.arange(2), np.abs(axes[:2]).argmax(axis=1)])[:, None]  # whatever the solver
    first, second = (float(share) for share in np.square(scale[:2]) / max(float(np.square(scale).sum()), 1e-12))
    names = tuple(label for label in labels for _ in range(per_class))
    seeds = tuple(range(per_class)) * len(labels)
    return LatentMap(names, seeds, (values - mean) @ axes.T, (first, second), mean, axes)


def _decode_first(engine: ClassAutoencoding, latents: Tensor, label: str) -> Image:
    return from_tensor(engine.decode(latents[:1], label))[0]


def labeled_folders(root: Path) -> tuple[Path, ...]:
    """The data sets with classes in a folder: itself, and the folders in it."""
    if not root.is_dir():
        return ()
    folders = (root, *sorted(path for path in root.iterdir() if path.is_dir()))
    return tuple(folder for folder in folders if is_labeled(folder) or has_class_folders(folder))


def same_classes(manifest: Manifest, others: Sequence[Manifest]) -> tuple[Manifest, ...]:
    """The checkpoint and those others with latents that draw the same classes, the smallest images first."""
    fitting = [other for other in others if has_latents(other) and set(other.labels) == set(manifest.labels)]
    return tuple(sorted(fitting, key=lambda other: (max(other.sizes), other.name)))


def compare_sizes(
    draw: Draw, manifests: Sequence[Manifest], label: str, rows: Sequence[Row], seed: int, count: int, on_step: OnStep
) -> Comparison:
    """Draw `count` images of a class with each checkpoint, and read as many of its training images.

    Raises:
        StudioError: a checkpoint cannot draw the class.
    """
    results: list[GenerationResult] = []
    for place, manifest in enumerate(manifests):

        def step(done: int, total: int, preview: Preview, place: int = place) -> None:
            on_step(place * total + done, len(manifests) * total, preview)

        size = max(manifest.sizes)
        request = GenerationRequest(ClassLabel(label), count, size, size, seed=seed)
        results.append(draw(request, manifest.ref.full_name, step))
    largest = max(max(manifest.sizes) for manifest in manifests)
    return Comparison(label, _read(rows, label, largest, count), tuple(results))


def _read(rows: Sequence[Row], label: str, size: int, count: int) -> RealImages:
    images, kept, skipped = [], [], []
    for row in evenly([row for row in rows if row.label == label and row.split == "train"], count):
        try:
            images.append(fit_square(row.image(), size).image)
            kept.append(row)
        except StudioError as error:
            skipped.append(str(error))
    return RealImages(tuple(images), tuple(kept), tuple(skipped))


def _similarity(fitted: FittedImage, copy: Image) -> tuple[Measurement, ...]:
    """The measures over the image alone, or over the whole square where the image is too narrow for them."""
    inside = fitted.box
    if min(fitted.height, fitted.width) < MIN_CONTENT:
        inside = (slice(None), slice(None))
    copies, originals = ImageSet("copy", copy[inside][None]), ImageSet("original", fitted.image[inside][None])
    return tuple(compare_pairs(copies, originals, np.random.default_rng(0)))


def _ready(load: Load) -> Engine:
    engine = load()
    from xray_generator.devices import set_threads

    set_threads()  # as for a generation: torch keeps them for each thread of a process
    return engine


def _unable(engine: Engine) -> StudioError:
    return StudioError(f"The latents of {engine.checkpoint.name} cannot be explored.")
