"""The network of this family, and the levels that tell it how a low-resolution image came about."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from xray_generator.families.super_resolution.config import NetworkConfig
from xray_generator.families.super_resolution.degradation import Degradation
from xray_generator.nn.residual_flow import FlowNetwork

NOISE_UNIT = 0.02  # of the noise level in the network's input
NUM_LEVELS = 3  # ratio of the sides, noise and blur


def build_network(config: NetworkConfig) -> FlowNetwork:
    """An untrained network, in the memory layout that is fastest on CPUs."""
    network: Any = FlowNetwork(config.channels, config.blocks, config.embedding_size, NUM_LEVELS)
    return cast(FlowNetwork, network.to(memory_format=torch.channels_last))


def level_values(factor: float, degradation: Degradation) -> Tensor:
    """(3,) the ratio of the sides as a power of 2, noise in units of 0.02, and blur in pixels of an enlarged image."""
    ratio = torch.tensor(factor, dtype=torch.float64).log2()
    return torch.tensor([float(ratio), degradation.noise / NOISE_UNIT, degradation.blur])
