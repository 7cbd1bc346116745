"""The likelihood of an image under a continuous normalizing flow, and its reconstruction from its own noise.

Instantaneous change of variables (Chen et al. 2018, arXiv:1806.07366, theorem 1): along dx / dsigma = v the log density
falls by div v, so log p_0(x_0) = log N(x_1; 0, I) + integral of div v over sigma from 0 to 1. The divergence is
estimated by e' (dv / dx) e with random signs e (Hutchinson; Grathwohl et al. 2018, arXiv:1810.01367).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torchdiffeq import odeint

from xray_generator.nn.rectified_flow import TOLERANCE, Field, time_grid, transport

NUM_STAGES = 4  # parts of the trajectory, after each of which progress is reported


@dataclass(frozen=True, slots=True)
class LogDensity:
    """Of one image."""

    values: Tensor  # (P,) nats, one estimate for each probe
    noise: Tensor  # (1, 1, H, W), the image at sigma 1


def log_density(
    field: Field,
    x: Tensor,
    generator: torch.Generator,
    num_probes: int = 2,
    on_stage: Callable[[int, int], None] = lambda *_: None,
) -> LogDensity:
    """Estimates of log p(x) in nats for one image (1, 1, H, W).

    Args:
        field: the velocity.
        x: the image, on the scale of the field's data.
        generator: draws the probes, on the CPU.
        num_probes: how many estimates of the divergence.
        on_stage: called with the stages done and all.
    """
    shape = (num_probes, *x.shape[1:])
    probes = (torch.randint(2, shape, generator=generator) * 2 - 1).to(x)

    def derivative(sigma: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = state[0].detach().requires_grad_()
            velocity = field(x, float(sigma))
            (product,) = torch.autograd.grad(velocity, x, probes)
        return velocity.detach(), (product * probes).sum(dim=(1, 2, 3))

    state = x.expand(shape).clone(), x.new_zeros(num_probes)
    sigmas = time_grid(NUM_STAGES)[::-1]
    for stage, bounds in enumerate(pairwise(sigmas), start=1):
        levels = torch.tensor(bounds, dtype=x.dtype, device=x.device)
        path, gains = odeint(derivative, state, levels, rtol=TOLERANCE, atol=TOLERANCE, method="dopri5")
        state = path[-1], gains[-1]
        on_stage(stage, NUM_STAGES)
    noise, gain = state
    prior = -0.5 * (noise.square() + math.log(2 * math.pi)).sum(dim=(1, 2, 3))
    return LogDensity(prior + gain, noise[:1])


def bits_per_dimension(nats: float, num_dimensions: int, num_levels: int = 256) -> float:
    """Of an image whose gray levels, spread over [-1, 1], were made continuous by uniform noise of one level's width.

    It is minus the base-2 logarithm of the density per pixel in units of a gray level (Theis et al. 2016,
    arXiv:1511.01844, section 3.1): 8 bits for a uniform density over all 256.
    """
    return -nats / num_dimensions / math.log(2) + math.log2(num_levels / 2)


def dequantize(levels: Tensor, generator: torch.Generator, num_levels: int = 256) -> Tensor:
    """Gray levels 0 to 255 of any shape -> [-1, 1], each spread evenly over its own width."""
    noise = torch.rand(levels.shape, generator=generator).to(levels.device)
    return (levels.float() + noise) / (num_levels / 2) - 1


def invert_and_reconstruct(field: Field, x: Tensor) -> Tensor:
    """Images (B, 1, H, W) carried to noise and back: equal but for the solver's error."""
    sigmas = time_grid(NUM_STAGES)
    return transport(field, transport(field, x, sigmas[::-1]), sigmas)
