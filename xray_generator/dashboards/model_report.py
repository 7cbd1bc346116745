"""What a loaded checkpoint tells of itself on request: its parts, its noise schedule, and how long an image takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from xray_generator.abilities import NoiseScheduled
from xray_generator.checkpoints import Manifest
from xray_generator.evaluation import architecture, speed
from xray_generator.evaluation.architecture import AttentionSite, Component
from xray_generator.evaluation.records import Curve, Measurement
from xray_generator.types import (
    ClassLabel,
    Condition,
    Engine,
    GenerationRequest,
    GenerationResult,
    Image,
    OnStep,
    Preview,
    StudioError,
    TextPrompt,
    Unconditional,
)

ALL_LEVELS = 32  # deeper than any network here
PROBE_STEPS = 2  # an image that shows where a model attends need not be good
Draw = Callable[[GenerationRequest, OnStep | None], GenerationResult]


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The components of a model with all their layers, and the places where it attends."""

    components: tuple[Component, ...]
    attention: tuple[AttentionSite, ...]

    @property
    def depth(self) -> int:
        """Levels below the components."""
        return max((depth for part in self.components for depth, _ in part.layers.flat()), default=0)


@dataclass(frozen=True, slots=True)
class NoiseView:
    """A noise schedule as curves over the training timesteps, and at the timesteps that a scheduler visits."""

    shares: Curve
    log_snr: Curve
    visited_shares: Curve
    visited_log_snr: Curve


def probe_request(manifest: Manifest, condition: type[Condition], seed: int = 0) -> GenerationRequest:
    """A request for one image with the recommended settings, and the first example as the condition.

    Raises:
        StudioError: a recommended value is missing or wrong; or it draws from a class, and its manifest names none.
    """
    size, recommended = manifest.sizes[0], manifest.recommended
    steps, guidance = recommended.num_inference_steps, recommended.guidance_scale
    if steps is None or guidance is None:
        raise StudioError(f"The manifest of {manifest.name} must recommend steps and guidance.")
    return GenerationRequest(
        _condition(manifest, condition), 1, size, size, steps, guidance, recommended.scheduler, seed
    )


def dissect(engine: Engine, draw: Draw, request: GenerationRequest) -> Anatomy:
    """Count the engine's parts, and watch where it attends while it draws one image of few steps."""
    few = replace(request, num_images=1, num_inference_steps=PROBE_STEPS)
    components = engine.components()
    sites = architecture.attention_sites(components, lambda: draw(few, None))
    return Anatomy(architecture.describe(components, ALL_LEVELS), sites)


def view_noise(engine: Engine, scheduler: str, num_inference_steps: int) -> NoiseView | None:
    """The engine's noise schedule; None where its family has none.

    With x_t = s x_0 + n epsilon the share of the signal is s² / (s² + n²), alpha_bar of a diffusion that preserves
    variance, and the logarithm of the signal-to-noise ratio is ln(s² / n²).

    Raises:
        StudioError: the scheduler is unknown.
    """
    if not isinstance(engine, NoiseScheduled):
        return None
    schedule = engine.noise_schedule()
    visited = engine.visited_timesteps(scheduler, num_inference_steps)
    places = [min(range(len(schedule.timesteps)), key=lambda i: abs(schedule.timesteps[i] - t)) for t in visited]
    pairs = list(zip(schedule.signal, schedule.noise, strict=True))
    chosen = [pairs[i] for i in places]
    return NoiseView(
        _shares(schedule.timesteps, pairs),
        _log_snr(schedule.timesteps, pairs),
        _shares(visited, chosen),
        _log_snr(visited, chosen),
    )


def time_images(
    engine: Engine, draw: Draw, request: GenerationRequest, steps: Sequence[int], repeats: int, on_step: OnStep
) -> tuple[Measurement, ...]:
    """Time single images of several numbers of steps on this machine; progress counts sampling steps.

    Raises:
        Cancelled: `on_step` asked for it; takes effect within one sampling step.
        StudioError: the checkpoint cannot do what is asked.
    """
    request = engine.resolve(replace(request, num_images=1))
    total = (repeats + 1) * sum({*steps, request.num_inference_steps or 0})  # one more each, to warm up
    blank: Image = np.zeros((request.height, request.width), np.float32)  # to draw a preview would cost time
    done = 0

    def counted(asked: GenerationRequest) -> GenerationResult:
        nonlocal done

        def step(number: int, _steps: int, _preview: Preview) -> None:
            on_step(done + number, total, lambda: blank)

        result = draw(asked, step)
        done += asked.num_inference_steps or 0
        return result

    return tuple(speed.measure_speed(counted, engine.components(), request, steps, repeats=repeats))


def _condition(manifest: Manifest, kind: type[Condition]) -> Condition:
    if kind is TextPrompt:
        return TextPrompt(next(iter(manifest.vocabulary.get("example_prompts") or ()), "Normal chest X-ray, PA view"))
    if kind is Unconditional:
        return Unconditional()
    return ClassLabel(manifest.labels[0]) if manifest.labels else Unconditional()


def _shares(timesteps: Sequence[float], pairs: Sequence[tuple[float, float]]) -> Curve:
    signal = tuple(s**2 / (s**2 + n**2) for s, n in pairs)
    lines = {"signal": signal, "noise": tuple(1 - share for share in signal)}
    return Curve("Signal and noise", "training timestep", "share of variance", tuple(timesteps), dict(lines))


def _log_snr(timesteps: Sequence[float], pairs: Sequence[tuple[float, float]]) -> Curve:
    values = tuple(2 * math.log(s / n) if s > 0 and n > 0 else None for s, n in pairs)
    return Curve("Signal-to-noise ratio", "training timestep", "log SNR", tuple(timesteps), {"log SNR": values})
