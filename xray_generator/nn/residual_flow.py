"""A rectified flow from noise to the residual: an image less an enlarged image of lower resolution.

One step gives the mean of all images that fit; several give one of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from xray_generator.nn.compact_autoencoder import ChannelNorm
from xray_generator.nn.conditioned_block import ConditionedBlock
from xray_generator.nn.grid import STEM
from xray_generator.nn.rectified_flow import estimate, interpolate, spread_evenly
from xray_generator.types import no_report

NUM_WAVES = 8  # cosines of sigma in its embedding
NEIGHBORHOOD = 5  # pixels a side of the local mean that is subtracted from detail
CELL = 8  # pixels a side over which the standard deviation of detail is measured
ROUNDING = 2 / 255 / 12**0.5  # standard deviation of rounding to 8 bits, images in [-1, 1]

SOLVER = "exponential"  # the integrator of `carry`, as manifests name it

OnImage = Callable[[int, int, Callable[[], Tensor]], None]  # step (from 1), total, gives the estimate of the image


class FlowNetwork(nn.Module):
    """A convolutional network of two scales on folded pixels, for images whose sides are multiples of 8.

    Args:
        channels: at a quarter of the side and at an eighth.
        blocks: at a quarter of the side before and after those at an eighth, and those.
        size: of the embedding of noise level and levels.
        num_levels: how many numbers tell what the enlarged image was made from.
        window: side of the windows of two Swin layers at an eighth of the side; 0: none.
    """

    def __init__(
        self, channels: tuple[int, int], blocks: tuple[int, int], size: int, num_levels: int, window: int = 0
    ) -> None:
        super().__init__()
        (fine, coarse), (outer, inner) = channels, blocks
        self.embedding = nn.Sequential(nn.Linear(NUM_WAVES + num_levels, size), nn.SiLU(), nn.Linear(size, size))
        self.enter = nn.Sequential(nn.PixelUnshuffle(STEM), nn.Conv2d(3 * STEM**2, fine, 3, padding=1))
        self.before = nn.ModuleList(ConditionedBlock(fine, size) for _ in range(outer))
        self.down = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * fine, coarse, 1))
        self.middle = nn.ModuleList(ConditionedBlock(coarse, size) for _ in range(inner))
        self.swin = _build_swin(coarse, window) if window else nn.Identity()
        self.up = nn.Sequential(nn.Conv2d(coarse, 4 * fine, 1), nn.PixelShuffle(2))
        self.after = nn.ModuleList(ConditionedBlock(fine, size) for _ in range(outer))
        last = nn.Conv2d(fine, STEM**2, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(cast(Tensor, last.bias))
        self.leave = nn.Sequential(ChannelNorm(fine), last, nn.PixelShuffle(STEM))

    def forward(self, images: Tensor, sigma: Tensor, levels: Tensor) -> Tensor:
        """(B, 1, H, W) of about unit variance.

        Args:
            images: (B, 3, H, W): the noisy residual, the enlarged image and its detail, see `ResidualFlow.predict`.
            sigma: (B,) noise level from 0 to 1.
            levels: (B, L).
        """
        waves = torch.cos(torch.pi * sigma[:, None] * torch.arange(1, NUM_WAVES + 1).to(sigma))
        embedding = F.silu(self.embedding(torch.cat([waves, levels], dim=1)))
        x = self.enter(images)
        for block in self.before:
            x = block(x, embedding)
        inner = self.down(x)
        for block in self.middle:
            inner = block(inner, embedding)
        x = x + self.up(self.swin(inner))
        for block in self.after:
            x = block(x, embedding)
        return cast(Tensor, self.leave(x)).float()


def _build_swin(channels: int, window: int) -> nn.Module:
    from xray_generator.nn.swin import SwinBottleneck  # transformers: only where there is one

    return SwinBottleneck(channels, window)


@dataclass(frozen=True, slots=True)
class Statistics:
    """The expected size of the residual: log std = log(local deviation of the detail) + weights . levels + bias.

    Divided by it, the residual has about unit variance everywhere. With one number for all images, coarse-grained ones
    would dominate the loss and smooth regions would get too much noise.
    """

    weights: tuple[float, ...]  # of the levels
    bias: float

    def to_json(self) -> dict[str, Any]:
        """The numbers, as the manifest holds them."""
        return {"residual_weights": list(self.weights), "residual_bias": self.bias}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Statistics:
        """The inverse of `to_json`; KeyError for what is missing."""
        return cls(tuple(float(weight) for weight in data["residual_weights"]), float(data["residual_bias"]))


@dataclass(frozen=True, slots=True)
class EnlargedCondition:
    """What the network is given of enlarged images."""

    enlarged: Tensor  # (B, 1, H, W) in [-1, 1]
    detail: Tensor  # (B, 1, H, W), of about unit variance everywhere
    levels: Tensor  # (B, L)
    scale: Tensor  # (B, 1, H, W), the expected standard deviation of the residual, images in [-1, 1]


def local_detail(enlarged: Tensor) -> tuple[Tensor, Tensor]:
    """Images (B, 1, H, W) less their mean over 5x5 pixels, and its deviation within about 24 pixels a side."""
    margin = NEIGHBORHOOD // 2
    detail = enlarged - F.avg_pool2d(enlarged, NEIGHBORHOOD, 1, margin, count_include_pad=False)
    energy = F.avg_pool2d(F.avg_pool2d(detail.square(), CELL), 3, 1, 1, count_include_pad=False)
    return detail, (F.interpolate(energy, scale_factor=CELL, mode="bilinear") + ROUNDING**2).sqrt()


def make_condition(enlarged: Tensor, levels: Tensor, statistics: Statistics) -> EnlargedCondition:
    """The condition of enlarged images (B, 1, H, W) in [-1, 1] with levels (B, L)."""
    detail, deviation = local_detail(enlarged)
    ratio = (levels * torch.tensor(statistics.weights).to(levels)).sum(dim=1) + statistics.bias
    return EnlargedCondition(enlarged, detail / deviation, levels, deviation * ratio.exp()[:, None, None, None])


@dataclass(frozen=True, slots=True)
class ResidualFlow:
    """The network and all that sampling needs."""

    network: FlowNetwork
    statistics: Statistics

    def predict(self, noisy: Tensor, condition: EnlargedCondition, sigma: Tensor) -> Tensor:
        """The network's output, from which `velocity` follows.

        About unit variance at every sigma (after Karras et al. 2022, arXiv:2206.00364).

        Args:
            noisy: (B, 1, H, W) residual with noise, in units of `scale`.
            condition: of the same images.
            sigma: (B,).
        """
        images = torch.cat([noisy, condition.enlarged, condition.detail], dim=1)
        images = images.contiguous(memory_format=torch.channels_last)
        return cast(Tensor, self.network(images, sigma, condition.levels))

    def sample(
        self, condition: EnlargedCondition, noise: Tensor, num_steps: int, on_image: OnImage = no_report
    ) -> Tensor:
        """Images (B, 1, S, S) in [-1, 1] by steps of equal length from noise of that shape; see `carry`.

        A single step gives the mean of all images that fit, which is nearest to the real one; more give one of them.
        """

        def add(residual: Tensor) -> Tensor:
            return (condition.enlarged + condition.scale * residual).clamp(-1, 1)

        x = noise
        sigmas = torch.linspace(1, 0, num_steps + 1).tolist()  # `time_grid` differs from it in the last bits
        for step, (sigma, following) in enumerate(pairwise(sigmas), start=1):
            output = self.predict(x, condition, x.new_full((len(x),), sigma))
            residual = estimate(x, sigma, velocity(output, x, sigma))
            x = carry(output, x, sigma, following) if following else residual
            on_image(step, num_steps, partial(add, residual))
        return add(x)


def velocity(output: Tensor, noisy: Tensor, sigma: Tensor | float) -> Tensor:
    """The velocity: its best linear estimate from x, plus the network's output times the deviation of that estimate.

    For noise and residual of unit variance E[v | x] = (2 sigma - 1) x / D and Var[v | x] = 1 / D, where
    D = (1 - sigma)^2 + sigma^2. At sigma 1 it is x + output: the residual is -output, whatever the noise.
    """
    variance = (1 - sigma) ** 2 + sigma**2
    return (2 * sigma - 1) / variance * noisy + output / variance**0.5


def carry(output: Tensor, noisy: Tensor, sigma: float, following: float) -> Tensor:
    """x at a following noise level, for an output that stays: what `velocity` knows beforehand is solved exactly.

    With D of `velocity`, dx / dsigma = (2 sigma - 1) / D x + output / sqrt(D), so that y = x / sqrt(D) has the
    derivative output / D, whose integral is output arctan(2 sigma - 1). This is an exponential integrator (Hochbruck &
    Ostermann 2010, section 2). Euler's method approximates the known part too: in four steps it loses half of the
    residual's variance, and so of the detail.
    """
    before, after = ((1 - level) ** 2 + level**2 for level in (sigma, following))
    turned = math.atan(2 * following - 1) - math.atan(2 * sigma - 1)
    return math.sqrt(after) * (noisy / math.sqrt(before) + turned * output)


def target(residual: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """The output with which `velocity` is noise - residual."""
    noisy = (1 - sigma) * residual + sigma * noise
    variance = (1 - sigma) ** 2 + sigma**2
    return (noise - residual - (2 * sigma - 1) / variance * noisy) * variance**0.5


def fit_statistics(images: Tensor, enlarged: Tensor, levels: Tensor) -> Statistics:
    """Fit `Statistics` to images and enlarged images (B, 1, H, W) with levels (B, L).

    By least squares of logarithms, then to unit mean square.
    """
    residual, (_, deviation) = images - enlarged, local_detail(enlarged)
    ratio = (residual.square().mean(dim=(1, 2, 3)) + ROUNDING**2).log() - deviation.square().mean(dim=(1, 2, 3)).log()
    known = torch.cat([levels, torch.ones(len(levels), 1)], dim=1)
    fit = torch.linalg.lstsq(known, ratio[:, None] / 2, driver="gelsd").solution[:, 0]  # of any rank
    statistics = Statistics(tuple(fit[:-1].tolist()), float(fit[-1]))
    scale = make_condition(enlarged, levels, statistics).scale
    rest = float((residual / scale).square().mean()) + 1e-6
    return replace(statistics, bias=statistics.bias + math.log(rest) / 2)


def flow_loss(
    model: ResidualFlow, images: Tensor, condition: EnlargedCondition, one_step_share: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Mean squared error of the network's output (`target`) at random noise levels, of images (B, 1, H, W).

    `one_step` is the mean squared error of a single step over that of the enlarged images: 1 is no better.
    """
    residual = (images - condition.enlarged) / condition.scale
    sigma, num_ones = draw_sigma(len(residual), one_step_share, generator)
    noise = torch.randn(residual.shape, generator=generator).to(residual)
    sigma = sigma.to(residual)
    output = model.predict(interpolate(residual, noise, sigma), condition, sigma)
    errors = (output - target(residual, noise, sigma[:, None, None, None])).square()
    return {"loss": errors.mean(), "one_step": errors[:num_ones].mean() / residual[:num_ones].square().mean()}


def draw_sigma(count: int, one_step_share: float, generator: torch.Generator) -> tuple[Tensor, int]:
    """(B,) noise levels, the first ones 1 and the others evenly spread over (0, 1); and how many are 1."""
    num_ones = math.ceil(count * one_step_share)
    return torch.cat([torch.ones(num_ones), spread_evenly(count - num_ones, generator)]), num_ones
