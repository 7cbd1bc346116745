"""A continuous normalizing flow from noise to images, and its solvers.

Rectified flow (Liu et al. 2022, arXiv:2209.03003; Lipman et al. 2022, arXiv:2210.02747). Time runs as in diffusers:
sigma 1 is noise, 0 is data, x = (1 - sigma) x_0 + sigma noise, and dx / dsigma = velocity = noise - x_0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler, UNet2DModel
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torchdiffeq import odeint

from xray_generator.families.flow_matching.config import NORM_GROUPS, FlowMatchingConfig, NetworkConfig
from xray_generator.nn.rectified_flow import velocity_of

TIME_SCALE = 1_000  # of sigma in the network's time embedding, as in diffusers
TOLERANCE = 3e-5  # of the adaptive solver, relative and absolute, images in [-1, 1]; at 1e-3 the way back goes astray

Field = Callable[[Tensor, float], Tensor]  # (x, sigma) -> velocity, both (B, 1, H, W)
StepCallback = Callable[[int, int, Tensor], None]  # step (from 1), total, x there


def build_network(config: NetworkConfig, num_labels: int) -> Any:  # noqa: ANN401 - mypy skips diffusers
    """An untrained UNet with an embedding for each class and, last, for none."""
    levels = range(len(config.channels))
    attends = [level in config.attention_levels for level in levels]
    unet = UNet2DModel(
        in_channels=config.fold**2,
        out_channels=config.fold**2,
        layers_per_block=config.blocks,
        block_out_channels=config.channels,
        norm_num_groups=NORM_GROUPS,
        dropout=config.dropout,
        down_block_types=tuple("AttnDownBlock2D" if attends[level] else "DownBlock2D" for level in levels),
        up_block_types=tuple("AttnUpBlock2D" if attends[level] else "UpBlock2D" for level in reversed(levels)),
        num_class_embeds=num_labels + 1,
    )
    return unet.to(memory_format=torch.channels_last)


@dataclass(frozen=True, slots=True)
class FlowMatching:
    """The network and what its inputs mean."""

    network: Any
    fold: int
    labels: tuple[str, ...]

    @classmethod
    def build(cls, config: FlowMatchingConfig) -> FlowMatching:
        """Untrained."""
        return cls(build_network(config.network, len(config.labels)), config.network.fold, config.labels)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return cast(torch.device, next(self.network.parameters()).device)

    def class_index(self, label: str) -> int:
        """The place of a class among the embeddings; of any other word, that of no class."""
        return self.labels.index(label) if label in self.labels else len(self.labels)

    def velocity(self, x: Tensor, sigma: Tensor, classes: Tensor) -> Tensor:
        """(B, 1, H, W) of x (B, 1, H, W), sigma (B,) in [0, 1] and classes (B,), indices of `class_index`.

        The network estimates x_0, from which the velocity follows, see `velocity_of`.
        """
        folded = F.pixel_unshuffle(x, self.fold).contiguous(memory_format=torch.channels_last)
        output = self.network(folded, sigma * TIME_SCALE, class_labels=classes).sample
        x_0 = F.pixel_shuffle(output, self.fold).float()
        return velocity_of(x, x_0, sigma)

    def field(self, label: str, guidance_scale: float = 1.0) -> Field:
        """The velocity of a class, led away from that of no class: Ho & Salimans 2022, arXiv:2207.12598, eq. 6."""
        place, none = self.class_index(label), len(self.labels)

        def plain(x: Tensor, sigma: float, index: int) -> Tensor:
            count = len(x)
            return self.velocity(x, x.new_full((count,), sigma), torch.full((count,), index, device=x.device))

        def guided(x: Tensor, sigma: float) -> Tensor:
            if place == none or guidance_scale == 1:
                return plain(x, sigma, place)
            classes = torch.tensor([none, place], device=x.device).repeat_interleave(len(x))
            both = self.velocity(torch.cat([x, x]), x.new_full((2 * len(x),), sigma), classes)
            without, with_class = both.chunk(2)
            return without + guidance_scale * (with_class - without)

        return guided


def time_grid(num_steps: int) -> list[float]:
    """num_steps + 1 noise levels, equally far apart, from exactly 1 to exactly 0."""
    return [1 - step / num_steps for step in range(num_steps + 1)]


def solve(field: Field, x: Tensor, num_steps: int, solver: str, on_step: StepCallback) -> Tensor:
    """Follow the flow from noise x (B, 1, H, W) to images, over `time_grid`; any number of steps from 1.

    `euler` evaluates the velocity once a step, `heun` twice but in the last one; `dopri5` as often as its tolerance
    asks within each step.
    """
    if solver == "dopri5":
        for step, (sigma, following) in enumerate(pairwise(time_grid(num_steps)), start=1):
            x = transport(field, x, (sigma, following))
            on_step(step, num_steps, x)
        return x
    scheduler = _scheduler(solver, num_steps)
    for place, timestep in enumerate(scheduler.timesteps.tolist()):
        velocity = field(x, timestep / TIME_SCALE)
        x = scheduler.step(velocity, scheduler.timesteps[place], x).prev_sample
        if solver == "euler" or place % 2 == 0:  # heun corrects the step before with each odd evaluation
            on_step(place // (1 if solver == "euler" else 2) + 1, num_steps, x)
    return x


def transport(field: Field, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Carry x along the flow through noise levels in either direction, by Dormand and Prince's adaptive method."""
    levels = torch.tensor(sigmas, dtype=x.dtype, device=x.device)
    return cast(
        Tensor, odeint(lambda s, y: field(y, float(s)), x, levels, rtol=TOLERANCE, atol=TOLERANCE, method="dopri5")[-1]
    )


def _scheduler(solver: str, num_steps: int) -> Any:  # noqa: ANN401 - mypy skips diffusers
    """Of diffusers, with the exact grid: left to itself its Heun ends at sigma 0.001 and wastes a step from there."""
    sigmas = time_grid(num_steps)
    if solver == "euler":
        scheduler = FlowMatchEulerDiscreteScheduler()
        scheduler.set_timesteps(sigmas=sigmas[:-1])
        return scheduler
    scheduler = FlowMatchHeunDiscreteScheduler()
    scheduler.set_timesteps(num_steps)
    grid = torch.tensor(sigmas)
    scheduler.timesteps = torch.cat([grid[:1], grid[1:-1].repeat_interleave(2)]) * TIME_SCALE
    scheduler.sigmas = torch.cat([grid[:1], grid[1:-1].repeat_interleave(2), grid[-1:]])
    return scheduler
