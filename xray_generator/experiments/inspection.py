"""What a loaded checkpoint consists of: its components and attention layers, its noise schedule and its latency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from xray_generator import generation
from xray_generator.abilities import NoiseScheduled
from xray_generator.checkpoints import Manifest
from xray_generator.evaluation import architecture, speed
from xray_generator.evaluation.architecture import AttentionSite, Component
from xray_generator.evaluation.records import Curve, Measurement
from xray_generator.registry import reads_prompts
from xray_generator.requests import make_request
from xray_generator.types import (
    NO_PREVIEW,
    ClassLabel,
    Condition,
    Engine,
    GenerationRequest,
    GenerationResult,
    OnStep,
    Preview,
    TextPrompt,
    Unconditional,
    no_report,
)

ALL_LEVELS = 32  # deeper than any network here
PROBE_STEPS = 2  # an image that shows which layers attend need not be good


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The components of a model with all their layers, and its attention layers."""

    components: tuple[Component, ...]
    attention: tuple[AttentionSite, ...]

    @property
    def depth(self) -> int:
        """Levels below the components."""
        return max((depth for part in self.components for depth, _ in part.layers.flat()), default=0)


@dataclass(frozen=True, slots=True)
class NoiseView:
    """A noise schedule as curves over the training timesteps, and at the timesteps that a scheduler visits.

    With x_t = alpha_t x_0 + sigma_t epsilon, the share of the signal is alpha_t² / (alpha_t² + sigma_t²) and the
    logarithm of the signal-to-noise ratio is ln(alpha_t² / sigma_t²).
    """

    shares: Curve
    log_snr: Curve
    visited_shares: Curve
    visited_log_snr: Curve


def probe_request(manifest: Manifest) -> GenerationRequest:
    """A request for one image with seed 0, the recommended settings and the first example prompt or class."""
    recommended = manifest.recommended
    return make_request(
        _example(manifest),
        seed=0,
        size=manifest.sizes[0],
        steps=recommended.num_inference_steps,
        guidance=recommended.guidance_scale,
        scheduler=recommended.scheduler,
    )


def dissect(engine: Engine, request: GenerationRequest, on_step: OnStep | None = None) -> Anatomy:
    """Count the components and layers, and record which layers attend while one image of few steps is generated."""
    few = replace(request, num_images=1, num_inference_steps=PROBE_STEPS)
    components = engine.components()
    sites = architecture.attention_sites(components, lambda: generation.generate(engine, few, on_step))
    return Anatomy(architecture.describe(components, ALL_LEVELS), sites)


def view_noise(engine: Engine, scheduler: str, num_inference_steps: int, on_step: OnStep | None = None) -> NoiseView:
    """The noise schedule of an engine, and where a scheduler calls the network.

    Raises:
        StudioError: the model has no noise schedule, or the scheduler is unknown.
    """
    able = generation.require(engine, NoiseScheduled, "has no noise schedule")
    schedule, visited = able.noise_schedule(), able.visited_timesteps(scheduler, num_inference_steps)
    nearest = [int(np.abs(np.subtract(schedule.timesteps, t)).argmin()) for t in visited]
    pairs = list(zip(schedule.alphas, schedule.sigmas, strict=True))
    view = NoiseView(
        _shares(schedule.timesteps, pairs),
        _log_snr(schedule.timesteps, pairs),
        _shares(visited, [pairs[i] for i in nearest]),
        _log_snr(visited, [pairs[i] for i in nearest]),
    )
    (on_step or no_report)(1, 1, lambda: NO_PREVIEW)
    return view


def time_images(
    engine: Engine, request: GenerationRequest, steps: Sequence[int], repeats: int, on_step: OnStep | None = None
) -> tuple[Measurement, ...]:
    """The latency of one image at each number of steps, on this machine; progress counts sampling steps.

    Raises:
        Canceled: raised by `on_step`; takes effect within one sampling step.
        StudioError: the checkpoint cannot do what is asked.
    """
    report = on_step or no_report
    request = engine.resolve(replace(request, num_images=1))
    total = (repeats + 1) * sum({*steps, request.num_inference_steps or 0})  # the first of each warms up
    done = 0

    def draw(timed: GenerationRequest) -> GenerationResult:
        nonlocal done

        def step(number: int, _steps: int, _preview: Preview) -> None:
            report(done + number, total, lambda: NO_PREVIEW)

        result = generation.generate(engine, timed, step)
        done += timed.num_inference_steps or 0
        return result

    return tuple(speed.measure_speed(draw, engine.components(), request, steps, repeats=repeats))


def _example(manifest: Manifest) -> Condition:
    if reads_prompts(manifest):
        return TextPrompt(next(iter(manifest.vocabulary.get("example_prompts") or ()), "Normal chest X-ray, PA view"))
    return ClassLabel(manifest.labels[0]) if manifest.labels else Unconditional()


def _shares(timesteps: Sequence[float], pairs: Sequence[tuple[float, float]]) -> Curve:
    signal = tuple(alpha**2 / (alpha**2 + sigma**2) for alpha, sigma in pairs)
    lines = {"signal": signal, "noise": tuple(1 - share for share in signal)}
    return Curve("Signal and noise", "training timestep", "share of variance", tuple(timesteps), dict(lines))


def _log_snr(timesteps: Sequence[float], pairs: Sequence[tuple[float, float]]) -> Curve:
    values = tuple(2 * math.log(alpha / sigma) if alpha > 0 and sigma > 0 else None for alpha, sigma in pairs)
    return Curve("Signal-to-noise ratio", "training timestep", "log SNR", tuple(timesteps), {"log SNR": values})
