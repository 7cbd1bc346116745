"""Every verb on an engine: seeds, sampling, timing and conversion, written once for every family.

Each verb is `verb(engine, ..., on_step=None)`, as `Studio.task` calls it. Importing this module costs no torch.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from xray_generator.abilities import (
    Adaptable,
    Attending,
    AttentionMaps,
    Editing,
    LatentDirection,
    Likelihood,
    Morphing,
    Scoring,
    Tracing,
    Traversing,
)
from xray_generator.devices import run_in_memory, runtime_facts, seeded_generators
from xray_generator.images import from_tensor, to_uint8
from xray_generator.registry import load_factors
from xray_generator.types import (
    CheckpointRef,
    ClassLabel,
    Edit,
    Engine,
    GenerationRequest,
    GenerationResult,
    Image,
    LikelihoodMethod,
    Morph,
    OnStep,
    Preview,
    StudioError,
    Upscaler,
    no_report,
    part,
)

if TYPE_CHECKING:
    from torch import Tensor


NUM_DIRECTIONS = 6  # that are measured of a class
NO_LIKELIHOODS = "gives no likelihoods"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EditResult:
    """An image before an edit, as the model reconstructs it, and after."""

    before: Image
    after: GenerationResult


@dataclass(frozen=True, slots=True, eq=False)
class Traversal:
    """An image moved along a principal direction of its class, by each of some amounts."""

    start: GenerationResult  # the image itself; its latency is that of all images
    images: tuple[Image, ...]
    directions: tuple[LatentDirection, ...]  # of the class
    index: int  # of the direction

    @property
    def explained_variance(self) -> float:
        """The share of the variance of the class's samples that lies along the direction."""
        return self.directions[self.index].share


def generate(
    engine: Engine, request: GenerationRequest, on_step: OnStep | None = None, upscaler: Upscaler | None = None
) -> GenerationResult:
    """Make every image of a request: the last result of `generate_each`, whose arguments and errors are the same."""
    *_, result = generate_each(engine, request, on_step, upscaler)
    return result


def generate_each(
    engine: Engine, request: GenerationRequest, on_step: OnStep | None = None, upscaler: Upscaler | None = None
) -> Iterator[GenerationResult]:
    """Make the images of a request one after the other; after each, yield the result as it is so far.

    Image i depends on seed + i alone.

    `on_step(step, total, preview)` is called after each step of a network, over all images together; what it raises
    ends the generation at once. With an upscaler, images of a size that the checkpoint does not draw are drawn at its
    largest and enlarged.

    Raises:
        StudioError: the checkpoint cannot do what is asked, or it returned values that are not numbers.
    """
    notes = engine.notes(request)
    request, side = _resolve(engine, request, upscaler)
    enlarged_by = None if side == request.height or upscaler is None else upscaler.manifest.ref
    images: list[Image] = []
    latencies_ms: list[float] = []
    for index in range(request.num_images):
        single = replace(request, num_images=1, height=side, width=side, seed=request.seed + index)
        draw = partial(_draw, engine, single, request.height, upscaler)
        report = part(on_step, index, request.num_images)
        image, milliseconds = run_in_memory(partial(_run_timed, draw, report))
        images += image
        latencies_ms.append(milliseconds)
        yield _result(engine, request, images, latencies_ms, notes, upscaler=enlarged_by)


def _resolve(engine: Engine, request: GenerationRequest, upscaler: Upscaler | None) -> tuple[GenerationRequest, int]:
    """The resolved request, and the side at which the engine draws its images."""
    largest = max(engine.manifest.sizes)
    if upscaler is None or request.height != request.width or request.height <= largest:
        return engine.resolve(request), request.height
    upscaler.num_steps(largest, request.height)  # refuses what it cannot do before the work
    resolved = engine.resolve(replace(request, height=largest, width=largest))
    return replace(resolved, height=request.height, width=request.width), largest


def _draw(engine: Engine, single: GenerationRequest, size: int, upscaler: Upscaler | None, on_step: OnStep) -> Tensor:
    if size == single.height or upscaler is None:
        return engine.sample(single, seeded_generators(single.seed, 1), on_step)
    later, steps = upscaler.num_steps(single.height, size), 0

    def drawing(done: int, total: int, preview: Preview) -> None:
        nonlocal steps
        steps = total
        on_step(done, total + later, preview)

    def enlarging(done: int, total: int, preview: Preview) -> None:
        on_step(steps + done, steps + total, preview)

    drawn = engine.sample(single, seeded_generators(single.seed, 1), drawing)
    return upscaler.upscale(drawn, size, None, seeded_generators(single.seed, 1, stream=1), enlarging)


def morph(engine: Engine, request: GenerationRequest, morph: Morph, on_step: OnStep | None = None) -> GenerationResult:
    """Draw one image on the path from a request to a second one.

    Raises:
        StudioError: the checkpoint cannot do what is asked, or cannot do this at all.
    """
    able = require(engine, Morphing, "cannot interpolate between two requests")
    notes, request = engine.notes(request), engine.resolve(replace(request, num_images=1))
    morph = replace(morph, second=engine.resolve(replace(morph.second, num_images=1)))
    images, milliseconds = _run_timed(lambda report: able.morph(request, morph, report), on_step or no_report)
    return _result(engine, request, images, [milliseconds], notes, morph)


def edit(
    engine: Engine, source: Image | None, request: GenerationRequest, edit: Edit, on_step: OnStep | None = None
) -> EditResult:
    """Change what an image shows: `source`, or where that is None the first image of `request`.

    Raises:
        StudioError: the checkpoint cannot do what is asked, or cannot do this at all.
    """
    able = require(engine, Editing, "cannot edit images")
    scheduler = request.scheduler if source is None else able.inversion_scheduler
    request = replace(request, num_images=1, scheduler=scheduler)
    notes, request = engine.notes(request), engine.resolve(request)
    if source is not None:
        edit = replace(edit, image_sha256=hash_levels(source))
    work = partial(able.edit, source, request, edit)
    (before, after), milliseconds = _run_timed(work, on_step or no_report)
    return EditResult(before, _result(engine, request, [after], [milliseconds], notes, edit))


def hash_levels(image: Image) -> str:
    """The SHA-256 of an image's gray levels of 8 bits, by which a recipe knows the image that was edited."""
    return hashlib.sha256(to_uint8(image).tobytes()).hexdigest()


def attend(engine: Engine, request: GenerationRequest, on_step: OnStep | None = None) -> AttentionMaps:
    """Where in the first image of a request each word of its prompt acted.

    Raises:
        StudioError: the checkpoint cannot do what is asked, or cannot do this at all.
    """
    able = require(engine, Attending, "has no attention to words that could be shown")
    return able.attend(engine.resolve(replace(request, num_images=1)), on_step or no_report)


def trace(engine: Engine, request: GenerationRequest, on_step: OnStep | None = None) -> tuple[Image, ...]:
    """The trajectory of the first image of a request: the noise, then the noisy image after every step.

    Raises:
        StudioError: the checkpoint cannot do what is asked, or cannot do this at all.
    """
    able = require(engine, Tracing, "cannot show its trajectory from noise to image")
    return able.trace(engine.resolve(replace(request, num_images=1)), on_step or no_report)


def likelihood(
    engine: Engine,
    image: Image,
    label: str | None,
    method: LikelihoodMethod = "fast",
    on_step: OnStep | None = None,
) -> Likelihood:
    """The likelihood of an image under a checkpoint, given a class or none; always by the same random probes.

    Raises:
        StudioError: the class is unknown, or the checkpoint cannot do this at all.
    """
    able = require(engine, Scoring, NO_LIKELIHOODS)
    return able.likelihood(image, label, seeded_generators(0, 1)[0], method, on_step or no_report)


def likelihood_seconds(engine: Engine, on_step: OnStep | None = None) -> float:
    """How long a fast likelihood takes on this machine; StudioError where the checkpoint gives none."""
    return require(engine, Scoring, NO_LIKELIHOODS).likelihood_seconds(on_step or no_report)


def traverse(
    engine: Engine,
    request: GenerationRequest,
    index: int,
    amounts: Sequence[float],
    directions: Sequence[LatentDirection] = (),
    on_step: OnStep | None = None,
) -> Traversal:
    """Move the first image of a request along a principal direction of its class.

    Args:
        engine: of the checkpoint.
        request: its first image is moved; resolved here.
        index: of the direction, from 0, the one with the greatest variance.
        amounts: how far, in standard deviations along the direction; 0 is among them.
        directions: of this class, where they have been measured before.
        on_step: called after each draw of the measurement, where there is one, and after each step of the prior.

    Raises:
        StudioError: the checkpoint cannot do what is asked, or cannot do this at all.
    """
    able = require(engine, Traversing, "has no latent space to explore")
    notes, request = engine.notes(request), engine.resolve(replace(request, num_images=1))
    label = request.condition.label if isinstance(request.condition, ClassLabel) else None
    directions = tuple(directions) or able.directions(label, NUM_DIRECTIONS, on_step)
    work = partial(able.traverse, request, directions[index], amounts)
    images, milliseconds = _run_timed(work, on_step or no_report)
    start = _result(engine, request, [images[list(amounts).index(0)]], [milliseconds], notes)
    return Traversal(start, images, directions, index)


def adapt(engine: Engine, weights: Mapping[Path, float]) -> Engine:
    """The engine with adapters, each by its weight, added to copies of its networks.

    Args:
        engine: of the base; it stays as it is.
        weights: by the folder of the adapter, <family>/<name>.

    Raises:
        StudioError: an adapter is damaged or does not fit, or the checkpoint cannot be adapted at all.
    """
    from xray_generator.nn.adapter import fuse  # imports torch

    able = require(engine, Adaptable, "cannot be adapted")
    networks = able.adaptable()
    added = [(load_factors(folder.parent.name, folder, networks), weight) for folder, weight in weights.items()]
    return able.adapted(
        lambda name, network: fuse(network, [(factors.get(name, {}), weight) for factors, weight in added]),
        engine.manifest,
    )


def require(engine: Engine, protocol: type[T], lack: str) -> T:
    """The engine as one that has an ability; StudioError says what it lacks."""
    if not isinstance(engine, protocol):
        raise StudioError(f"{engine.manifest.ref.name} {lack}.")
    return engine


def _run_timed(draw: Callable[[OnStep], Tensor], on_step: OnStep) -> tuple[tuple[Image, ...], float]:
    """Images, and the milliseconds they took without those spent in the callback: previews are not the model's time."""
    away = 0.0

    def step(done: int, total: int, preview: Preview) -> None:
        nonlocal away
        left = time.perf_counter()
        on_step(done, total, preview)
        away += time.perf_counter() - left

    started = time.perf_counter()
    images = from_tensor(draw(step))
    return images, (time.perf_counter() - started - away) * 1_000


def _result(
    engine: Engine,
    request: GenerationRequest,
    images: Sequence[Image],
    latencies_ms: Sequence[float],
    notes: tuple[str, ...],
    origin: Morph | Edit | None = None,
    upscaler: CheckpointRef | None = None,
) -> GenerationResult:
    facts = runtime_facts(engine.device)
    return GenerationResult(
        tuple(images), request, engine.manifest.ref, tuple(latencies_ms), notes, facts, origin, upscaler
    )
