"""From an image to one of more pixels: a flow draws the detail that an enlarged image lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from xray_generator.devices import initial_noise
from xray_generator.images import from_tensor, resize_square, to_tensor
from xray_generator.nn.degradation import CLEAN, Degradation, add_noise
from xray_generator.nn.network_configs import EnlargerConfig
from xray_generator.nn.residual_flow import FlowNetwork, ResidualFlow, Statistics, make_condition
from xray_generator.types import MAX_STEPS, Image, OnStep, StudioError, after, no_report

NOISE_UNIT = 0.02  # of the noise level in the network's input
NUM_LEVELS = 3  # ratio of the sides, noise and blur


def build_enlarger(config: EnlargerConfig) -> FlowNetwork:
    """An untrained network, in the memory layout that is fastest on CPUs."""
    network: Any = FlowNetwork(config.channels, config.blocks, config.embedding_size, NUM_LEVELS, config.window)
    return cast(FlowNetwork, network.to(memory_format=torch.channels_last))


def read_statistics(data: Mapping[str, Any]) -> Statistics:
    """Those of such a network in a manifest; KeyError or ValueError where they are missing or of another network."""
    statistics = Statistics.from_json(data)
    if len(statistics.weights) != NUM_LEVELS:
        raise ValueError(f"residual_weights must be {NUM_LEVELS} numbers")
    return statistics


def level_values(factor: float, degradation: Degradation) -> Tensor:
    """(3,) the ratio of the sides as a power of 2, noise in units of 0.02, and blur in pixels of an enlarged image."""
    ratio = torch.tensor(factor, dtype=torch.float64).log2()
    return torch.tensor([float(ratio), degradation.noise / NOISE_UNIT, degradation.blur])


@dataclass(frozen=True, slots=True)
class Pass:
    """One enlargement of several."""

    model: ResidualFlow
    side: int  # to which it enlarges
    num_steps: int
    degradation: Degradation = CLEAN


@torch.no_grad()
def enlarge_by_passes(
    images: Tensor, passes: Sequence[Pass], generators: Sequence[torch.Generator], on_step: OnStep | None
) -> Tensor:
    """(B, 1, S, S) in [-1, 1] of square images (B, 1, s, s), each taken through all passes by itself.

    Raises:
        StudioError: the images are not square, or their values no numbers, or a number of steps is not allowed.
    """
    for one in passes:
        if not 1 <= one.num_steps <= MAX_STEPS:
            raise StudioError(f"The number of steps must be from 1 to {MAX_STEPS:,}, not {one.num_steps}.")
    if images.shape[-1] != images.shape[-2]:
        raise StudioError(f"Only square images are enlarged, not {images.shape[-1]}x{images.shape[-2]}.")
    done, total = 0, len(images) * sum(one.num_steps for one in passes)
    outputs = []
    for image, generator in zip(from_tensor(images), generators, strict=True):
        for one in passes:
            report = after(on_step or no_report, done, total)
            image = enlarge(one.model, image, one.side, one.num_steps, generator, one.degradation, report)
            done += one.num_steps
        outputs.append(image)
    return to_tensor(np.stack(outputs)).to(images.device)


@torch.no_grad()
def enlarge(
    model: ResidualFlow,
    image: Image,
    side: int,
    num_steps: int,
    generator: torch.Generator,
    degradation: Degradation = CLEAN,
    on_step: OnStep = no_report,
) -> Image:
    """A square image in [0, 1] enlarged to (side, side) in one pass.

    Args:
        model: what draws the detail, on any device.
        image: what to enlarge.
        side: pixels, more than the image has.
        num_steps: one gives the mean of all images that fit.
        generator: of all noise, on the CPU.
        degradation: the blur that the image is taken to have, and the noise that is added to it first.
        on_step: called after every step.
    """
    device = next(model.network.parameters()).device
    enlarged = to_tensor(resize_square(add_noise(image, degradation.noise, generator), side)[None]).to(device)
    levels = level_values(side / len(image), degradation)[None].to(device)
    noise = initial_noise((1, side, side), [generator], device)

    def report(step: int, total: int, estimate: Callable[[], Tensor]) -> None:
        on_step(step, total, lambda: from_tensor(estimate())[0])

    return from_tensor(model.sample(make_condition(enlarged, levels, model.statistics), noise, num_steps, report))[0]
