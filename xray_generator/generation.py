"""One request for images: seeds, sampling, timing and conversion, written once for every family."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from xray_generator.abilities import (
    Attending,
    AttentionMaps,
    Editing,
    Likelihood,
    Morphing,
    Scoring,
    Tracing,
)
from xray_generator.devices import runtime_facts, seeded_generators
from xray_generator.images import from_tensor, to_uint8
from xray_generator.types import (
    Edit,
    Engine,
    GenerationRequest,
    GenerationResult,
    Image,
    Morph,
    OnStep,
    Preview,
    StudioError,
    Upscaler,
)

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class EditResult:
    """An image before an edit, as the model holds it, and after."""

    before: Image
    after: GenerationResult


def generate(
    engine: Engine, request: GenerationRequest, on_step: OnStep | None = None, upscaler: Upscaler | None = None
) -> GenerationResult:
    """Make every image of a request, one after the other; image i depends on seed + i alone.

    `on_step(step, total, preview)` is called after each step of a network, over all images together; what it raises
    ends the generation at once. With an upscaler, images of a size that the checkpoint does not draw are drawn at its
    largest and enlarged.

    Raises:
        StudioError: the checkpoint cannot do what is asked, or it returned values that are not numbers.
    """
    notes = engine.notes(request)
    request, side = _resolve(engine, request, upscaler)
    images: list[Image] = []
    latencies_ms: list[float] = []
    for index in range(request.num_images):
        single = replace(request, num_images=1, height=side, width=side, seed=request.seed + index)

        def step(done: int, total: int, preview: Preview, index: int = index) -> None:
            if on_step is not None:
                on_step(index * total + done, request.num_images * total, preview)

        draw = partial(_draw, engine, single, request.height, upscaler)
        drawn, milliseconds = _timed(draw, step)
        images += drawn
        latencies_ms.append(milliseconds)
    result = _result(engine, request, images, latencies_ms, notes)
    return result if side == request.height or upscaler is None else replace(result, upscaler=upscaler.checkpoint)


def _resolve(engine: Engine, request: GenerationRequest, upscaler: Upscaler | None) -> tuple[GenerationRequest, int]:
    """The resolved request, and the side at which the engine draws its images."""
    largest = max(engine.sizes)
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
    """Draw one image part of the way from a request to a second one.

    Raises:
        StudioError: the checkpoint cannot do what is asked, or cannot do this at all.
    """
    if not isinstance(engine, Morphing):
        raise StudioError(f"{engine.checkpoint.name} cannot mix two requests.")
    notes, request = engine.notes(request), engine.resolve(replace(request, num_images=1))
    morph = replace(morph, second=engine.resolve(replace(morph.second, num_images=1)))
    images, milliseconds = _timed(lambda report: engine.morph(request, morph, report), on_step)
    return _result(engine, request, list(images), [milliseconds], notes, morph)


def edit(
    engine: Engine, source: Image | None, request: GenerationRequest, edit: Edit, on_step: OnStep | None = None
) -> EditResult:
    """Change what an image shows: `source`, or where that is None the first image of `request`.

    Raises:
        StudioError: the checkpoint cannot do what is asked, or cannot do this at all.
    """
    if not isinstance(engine, Editing):
        raise StudioError(f"{engine.checkpoint.name} cannot edit images.")
    scheduler = request.scheduler if source is None else engine.given_scheduler
    request = replace(request, num_images=1, scheduler=scheduler)
    notes, request = engine.notes(request), engine.resolve(request)
    if source is not None:
        edit = replace(edit, image_sha256=hashlib.sha256(to_uint8(source).tobytes()).hexdigest())
    (before, after), milliseconds = _timed(lambda report: engine.edit(source, request, edit, report), on_step)
    return EditResult(before, _result(engine, request, [after], [milliseconds], notes, edit))


def attend(engine: Engine, request: GenerationRequest, on_step: OnStep | None = None) -> AttentionMaps:
    """Where each word of a request's prompt acted on its first image.

    Raises:
        StudioError: the checkpoint cannot do what is asked, or cannot do this at all.
    """
    if not isinstance(engine, Attending):
        raise StudioError(f"{engine.checkpoint.name} does not tell where words act.")
    return engine.attend(engine.resolve(replace(request, num_images=1)), on_step or (lambda *_: None))


def trace(engine: Engine, request: GenerationRequest, on_step: OnStep | None = None) -> tuple[Image, ...]:
    """The first image of a request at every step, from the noise to the end.

    Raises:
        StudioError: the checkpoint cannot do what is asked, or cannot do this at all.
    """
    if not isinstance(engine, Tracing):
        raise StudioError(f"{engine.checkpoint.name} does not show the way from noise to image.")
    return engine.trace(engine.resolve(replace(request, num_images=1)), on_step or (lambda *_: None))


def likelihood(engine: Engine, image: Image, label: str | None, on_step: OnStep | None = None) -> Likelihood:
    """How probable a checkpoint holds an image, as one of a class or of none; always by the same probes.

    Raises:
        StudioError: the class is unknown, or the checkpoint cannot do this at all.
    """
    if not isinstance(engine, Scoring):
        raise StudioError(f"{engine.checkpoint.name} gives no likelihoods.")
    return engine.likelihood(image, label, seeded_generators(0, 1)[0], on_step)


def _timed(draw: Callable[[OnStep], Tensor], on_step: OnStep | None) -> tuple[tuple[Image, ...], float]:
    """Images and the milliseconds they took, less those in the callback: previews are not the model's time."""
    away = 0.0

    def step(done: int, total: int, preview: Preview) -> None:
        nonlocal away
        if on_step is not None:
            left = time.perf_counter()
            on_step(done, total, preview)
            away += time.perf_counter() - left

    started = time.perf_counter()
    images = from_tensor(draw(step))
    return images, (time.perf_counter() - started - away) * 1_000


def _result(
    engine: Engine,
    request: GenerationRequest,
    images: list[Image],
    latencies_ms: list[float],
    notes: tuple[str, ...],
    origin: Morph | Edit | None = None,
) -> GenerationResult:
    return GenerationResult(
        tuple(images),
        request,
        engine.checkpoint,
        tuple(latencies_ms),
        notes,
        runtime_facts(engine.device),
        origin,
    )
