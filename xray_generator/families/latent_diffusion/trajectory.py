"""The way from noise to an image and back: sampling, starting part of the way, and deterministic inversion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from diffusers import UniPCMultistepScheduler
from torch import Tensor

FIXED_POINT_ITERATIONS = 3
Denoiser = Callable[[Tensor, Tensor], Tensor]  # latents, timestep -> v or eps
StepCallback = Callable[[int, int, Tensor], None]  # step (from 1), total, estimate of the final latents


def first_step(num_inference_steps: int, strength: float) -> int:
    """The step at which an edit of this strength begins: 0 for strength 1, the last one at least."""
    return min(num_inference_steps - 1, round((1 - strength) * num_inference_steps))


def denoise(
    job: Any,
    denoiser: Denoiser,
    latents: Tensor,
    generator: torch.Generator,
    on_step: StepCallback,
    *,
    begin: int = 0,
    end: int | None = None,
) -> Tensor:
    """Latents after steps `begin` to `end` (all of them) of a diffusers scheduler whose timesteps are set.

    Latents are those that hold as much noise as step `begin` expects.
    """
    options = {} if isinstance(job, UniPCMultistepScheduler) else {"generator": generator}
    timesteps = job.timesteps[begin:end]
    if hasattr(job, "set_begin_index"):
        job.set_begin_index(begin)
    for step, timestep in enumerate(timesteps, start=1):
        output = denoiser(job.scale_model_input(latents, timestep), timestep)
        clean, _ = split(job, output, latents, timestep)
        latents = job.step(output, timestep, latents, **options).prev_sample
        on_step(step, len(timesteps), clean)
    return latents


def invert(job: Any, denoiser: Denoiser, latents: Tensor, begin: int) -> Tensor:  # noqa: ANN401 - as above
    """The noisy latents at step `begin` from which DDIM leads back to `latents`, which hold no noise.

    DDIM's steps backwards (Song et al. 2021, arXiv:2010.02502, section 4.3), each solved for its start by fixed-point
    iteration (Pan et al. 2023, arXiv:2309.04907): taking the output at the end for that at the start is not enough.
    """
    ends: list[Tensor | None] = [*job.timesteps[begin + 1 :], None]
    for timestep, end in zip(reversed(job.timesteps[begin:]), reversed(ends), strict=True):
        signal, spread = levels(job, timestep, latents)
        end_signal, end_spread = (1.0, 0.0) if end is None else levels(job, end, latents)
        start = latents
        for _ in range(FIXED_POINT_ITERATIONS):
            _, noise = split(job, denoiser(start, timestep), start, timestep)
            start = signal / end_signal * (latents - end_spread * noise) + spread * noise
        latents = start
    return latents


def split(job: Any, output: Tensor, latents: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    """What the model takes latents at a timestep to be made of: (image, noise), x_t = signal x_0 + spread eps."""
    signal, spread = levels(job, timestep, latents)
    if job.config.prediction_type == "v_prediction":
        return signal * latents - spread * output, spread * latents + signal * output
    if job.config.prediction_type == "sample":
        return output, (latents - signal * output) / spread.clamp(min=1e-8)
    return (latents - spread * output) / signal, output


def levels(job: Any, timestep: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    """sqrt(alpha_bar) and sqrt(1 - alpha_bar) at a timestep."""
    alpha = cast(Tensor, job.alphas_cumprod)[int(timestep)].to(like)
    return alpha.sqrt(), (1 - alpha).sqrt()
