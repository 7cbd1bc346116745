"""The likelihood of an image under a continuous normalizing flow, and its reconstruction from its own noise.

Instantaneous change of variables (Chen et al. 2018, arXiv:1806.07366, theorem 1): along dx / dsigma = v the log density
falls by div v, so log p_0(x_0) = log N(x_1; 0, I) + integral of div v over sigma from 0 to 1. The divergence is
estimated by e' (dv / dx) e with random signs e (Hutchinson; Grathwohl et al. 2018, arXiv:1810.01367).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchdiffeq import odeint

from xray_generator.nn.rectified_flow import MIN_SIGMA, TOLERANCE, Field
from xray_generator.types import LikelihoodMethod

NUM_PROBES = 2  # the least that tell their standard error
STEPS_BELOW, STEPS_ABOVE = 4, 12  # of the fast method, on either side of MIN_SIGMA, where the velocity has a kink
NUM_STEPS = STEPS_BELOW + STEPS_ABOVE
PASSES_OUT = 1 + NUM_PROBES  # of the network in one evaluation on the way to noise: forward, and backward by probe
NUM_PASSES = 4 * NUM_STEPS * (PASSES_OUT + 1)  # of the fast method: four evaluations a step, of one pass on return
FIRST_SHARE = 0.05  # of the path, below which the adaptive solver's pace says too little

# The noise levels between the steps: equally far apart below MIN_SIGMA, where the velocity's divisor is constant, and
# above it in their logarithms, since the divergence goes as 1 / sigma there.
LEVELS = (
    *np.linspace(0, MIN_SIGMA, STEPS_BELOW, endpoint=False).tolist(),
    *np.geomspace(MIN_SIGMA, 1, STEPS_ABOVE + 1).tolist(),
)

OnPass = Callable[[float], None]  # sigma; called after each pass of the network, forward or backward


@dataclass(frozen=True, slots=True)
class LogDensity:
    """Of one image."""

    values: Tensor  # (P,) nats, one estimate for each probe
    noise: Tensor  # (1, 1, H, W), the image at sigma 1


@dataclass(slots=True)
class Progress:
    """Counts the passes of the network with NUM_PROBES probes, to noise and back, and tells how many there will be.

    The fast method's number is known. The adaptive one's is estimated from the share of the path behind it, on which
    each of the fast method's steps counts alike.
    """

    method: LikelihoodMethod
    on_pass: Callable[[int, int], None]  # passes done, passes in all
    done: int = 0
    share: float = 0.0  # of the path, both ways

    def to_noise(self, sigma: float) -> None:
        """A pass on the way from the image to its noise: an `OnPass`."""
        self._count(PASSES_OUT * _place(sigma))

    def to_image(self, sigma: float) -> None:
        """A pass on the way back: an `OnPass`."""
        self._count(PASSES_OUT + 1 - _place(sigma))

    def _count(self, behind: float) -> None:
        self.done += 1
        self.share = max(self.share, behind / (PASSES_OUT + 1))  # the solver may take a step back
        is_guess = self.method == "exact" and self.share > FIRST_SHARE
        total = round(self.done / self.share) if is_guess else NUM_PASSES
        self.on_pass(self.done, max(self.done, total))


def _place(sigma: float) -> float:
    """How far along `LEVELS` a noise level is, from 0 to 1."""
    return float(np.interp(sigma, LEVELS, np.linspace(0, 1, len(LEVELS))))


def log_density(
    field: Field,
    x: Tensor,
    generator: torch.Generator,
    num_probes: int = NUM_PROBES,
    method: LikelihoodMethod = "fast",
    on_pass: OnPass = lambda _: None,
) -> LogDensity:
    """Estimates of log p(x) in nats for one image (1, 1, H, W).

    Args:
        field: the velocity.
        x: the image, on the scale of the field's data.
        generator: draws the probes, on the CPU.
        num_probes: how many estimates of the divergence.
        method: see `integrate`.
        on_pass: what it raises ends the work at once.
    """
    probes = draw_probes(x, num_probes, generator)

    def derivative(sigma: float, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return diverge(field, state[0], sigma, probes, on_pass)

    noise, gain = integrate(derivative, (x, x.new_zeros(num_probes)), LEVELS, method)
    prior = -0.5 * (noise.square() + math.log(2 * math.pi)).sum()
    return LogDensity(prior + gain, noise)


def draw_probes(x: Tensor, num_probes: int, generator: torch.Generator) -> Tensor:
    """(P, *x.shape) of random signs, drawn on the CPU."""
    return (torch.randint(2, (num_probes, *x.shape), generator=generator) * 2 - 1).to(x)


def diverge(
    field: Field, x: Tensor, sigma: float, probes: Tensor, on_pass: OnPass = lambda _: None
) -> tuple[Tensor, Tensor]:
    """The velocity at x (1, 1, H, W), and for each of P probes an estimate of its divergence (P,)."""
    found = []
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        velocity = field(x, sigma)
        on_pass(sigma)
        for probe in probes:
            (product,) = torch.autograd.grad(velocity, x, probe, retain_graph=True)
            found.append((product * probe).sum())
            on_pass(sigma)
    return velocity.detach(), torch.stack(found)


def reconstruct(
    field: Field, noise: Tensor, method: LikelihoodMethod = "fast", on_pass: OnPass = lambda _: None
) -> Tensor:
    """The images (B, 1, H, W) of noise that `log_density` found: the images that it was given, but for its errors."""

    def velocity(sigma: float, x: Tensor) -> Tensor:
        found = field(x, sigma)
        on_pass(sigma)
        return found

    found: Tensor = integrate(velocity, noise, LEVELS[::-1], method)
    return found


def integrate(derivative: Callable[..., Any], state: Any, levels: Sequence[float], method: LikelihoodMethod) -> Any:  # noqa: ANN401 - a tensor or several
    """The state at the last of `levels`, given that at the first.

    "fast" takes one Runge-Kutta step of fourth order from each level to the next. "exact" is Dormand and Prince's
    adaptive method, which chooses its steps to a tolerance and stops at the kink of the velocity and at the end.
    """
    first = state[0] if isinstance(state, tuple) else state
    times = torch.tensor(levels, dtype=first.dtype, device=first.device)
    settings: dict[str, Any] = {"method": "rk4"}
    if method == "exact":
        options = {"jump_t": times.new_tensor([MIN_SIGMA]), "step_t": times[-1:]}
        settings = {"method": "dopri5", "rtol": TOLERANCE, "atol": TOLERANCE, "options": options}
        times = times[[0, -1]]
    path = odeint(lambda sigma, y: derivative(float(sigma), y), state, times, **settings)
    return tuple(part[-1] for part in path) if isinstance(state, tuple) else path[-1]


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
