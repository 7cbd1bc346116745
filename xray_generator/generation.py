"""One request for images: seeds, sampling, timing and conversion, written once for every family."""

from __future__ import annotations

import time
from dataclasses import replace

from xray_generator.devices import runtime_facts, seeded_generators
from xray_generator.images import from_tensor
from xray_generator.types import Engine, GenerationRequest, GenerationResult, Image, OnStep, Preview


def generate(engine: Engine, request: GenerationRequest, on_step: OnStep | None = None) -> GenerationResult:
    """Make every image of a request, one after the other; image i depends on seed + i alone.

    `on_step(step, total, preview)` is called after each sampling step, over all images together; what it raises ends
    the generation at once.

    Raises:
        StudioError: the checkpoint cannot do what is asked, or it returned values that are not numbers.
    """
    request = engine.resolve(request)
    images: list[Image] = []
    latencies_ms: list[float] = []
    for index in range(request.num_images):
        single = replace(request, num_images=1, seed=request.seed + index)
        away = 0.0  # seconds in callbacks: what a caller does there, such as previews, is not the model's time

        def step(done: int, total: int, preview: Preview, index: int = index) -> None:
            nonlocal away
            if on_step is not None:
                left = time.perf_counter()
                on_step(index * total + done, request.num_images * total, preview)
                away += time.perf_counter() - left

        started = time.perf_counter()
        images += from_tensor(engine.sample(single, seeded_generators(single.seed, 1), step))
        latencies_ms.append((time.perf_counter() - started - away) * 1_000)
    return GenerationResult(
        tuple(images), request, engine.checkpoint, tuple(latencies_ms), engine.notes(request),
        runtime_facts(engine.device),
    )  # fmt: skip
