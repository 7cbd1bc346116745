"""Rectified flow: the straight path between data and noise, its velocity, guidance and solvers (one place for all).

Liu et al. 2022 (arXiv:2209.03003), Lipman et al. 2022 (arXiv:2210.02747). Time runs as in diffusers: sigma 1 is noise,
0 is data, x_sigma = (1 - sigma) x_0 + sigma noise, and dx / dsigma = velocity = noise - x_0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor
from torchdiffeq import odeint

MIN_SIGMA = 0.05  # of the divisor, or the velocity would have no limit at sigma 0
TOLERANCE = 3e-5  # of the adaptive solver, relative and absolute, data in [-1, 1]; 1e-3 loses the way back to noise

Field = Callable[[Tensor, float], Tensor]  # (x, sigma) -> velocity, both of one shape
OnState = Callable[[int, int, Tensor, Callable[[], Tensor]], None]  # step (from 1), total, x after it, gives x_0


def interpolate(x_0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """x_sigma (B, C, H, W) of data and noise of that shape, sigma (B,)."""
    level = sigma[:, None, None, None]
    return (1 - level) * x_0 + level * noise


def velocity_of(x: Tensor, x_0: Tensor, sigma: Tensor) -> Tensor:
    """The velocity that an estimate of the data implies: (x - x_0) / max(sigma, 0.05), all (B, C, H, W), sigma (B,).

    Noise fills all dimensions of a patch, images few, so that a narrow network can estimate the second and not the
    first (Li & He 2025, arXiv:2511.13720).
    """
    return (x - x_0) / sigma.clamp(min=MIN_SIGMA)[:, None, None, None]


def guide(cond: Tensor, uncond: Tensor, guidance_scale: float) -> Tensor:
    """Classifier-free guidance: uncond + scale (cond - uncond) (Ho & Salimans 2022, arXiv:2207.12598, eq. 6)."""
    return uncond + guidance_scale * (cond - uncond)


def time_grid(num_steps: int) -> list[float]:
    """num_steps + 1 noise levels from exactly 1 to exactly 0, equally far apart, in the precision of the networks."""
    return torch.tensor([1 - step / num_steps for step in range(num_steps + 1)]).tolist()


def spread_evenly(count: int, generator: torch.Generator) -> Tensor:
    """(count,) rising numbers in [0, 1), one in each of as many equal parts: less noise than independent ones."""
    return (torch.arange(count) + torch.rand(count, generator=generator)) / max(count, 1)


def estimate(x: Tensor, sigma: float, velocity: Tensor) -> Tensor:
    """x_0 = x - sigma velocity."""
    return x - sigma * velocity


def euler(field: Field, x: Tensor, sigmas: Sequence[float], on_state: OnState) -> Tensor:
    """x at the last of `sigmas`, one evaluation a step."""
    for step, (sigma, following) in enumerate(pairwise(sigmas), start=1):
        velocity = field(x, sigma)
        x_0 = partial(estimate, x, sigma, velocity)
        x = x + (following - sigma) * velocity
        on_state(step, len(sigmas) - 1, x, x_0)
    return x


def heun(field: Field, x: Tensor, sigmas: Sequence[float], on_state: OnState) -> Tensor:
    """x at the last of `sigmas`: the trapezoidal rule, two evaluations a step but one in a last step to 0.

    Each derivative is (x - x_0) / sigma, which rounds as in Karras et al. 2022 (arXiv:2206.00364, algorithm 1) and in
    diffusers: images stay the same to the last bit.
    """

    def derivative(x: Tensor, sigma: float) -> Tensor:
        return (x - estimate(x, sigma, field(x, sigma))) / sigma

    for step, (sigma, following) in enumerate(pairwise(sigmas), start=1):
        slope = derivative(x, sigma)
        if following > 0:
            slope = (slope + derivative(x + (following - sigma) * slope, following)) / 2
        x_0 = partial(estimate, x, sigma, slope)
        x = x + (following - sigma) * slope
        on_state(step, len(sigmas) - 1, x, x_0)
    return x


def dopri5(field: Field, x: Tensor, sigmas: Sequence[float], on_state: OnState) -> Tensor:
    """x at the last of `sigmas`, each step to a tolerance by Dormand and Prince's adaptive method."""
    for step, (sigma, following) in enumerate(pairwise(sigmas), start=1):
        x = transport(field, x, (sigma, following))
        on_state(step, len(sigmas) - 1, x, partial(_evaluate_estimate, field, x, following))
    return x


def _evaluate_estimate(field: Field, x: Tensor, sigma: float) -> Tensor:
    return estimate(x, sigma, field(x, sigma)) if sigma else x


Solver = Callable[[Field, Tensor, Sequence[float], OnState], Tensor]
SOLVERS: Mapping[str, Solver] = MappingProxyType({"euler": euler, "heun": heun, "dopri5": dopri5})


def transport(field: Field, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Carry x along the flow through noise levels in either direction, by the adaptive method of `dopri5`."""
    levels = torch.tensor(sigmas, dtype=x.dtype, device=x.device)
    path = odeint(lambda s, y: field(y, float(s)), x, levels, rtol=TOLERANCE, atol=TOLERANCE, method="dopri5")
    return cast(Tensor, path[-1])
