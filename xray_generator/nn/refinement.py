"""From an image to one of twice the side: what the coarse image cannot tell is drawn, by a flow on the residual.

A regression gives the mean of all images that fit, without a vessel; grain on top of it is noise, not texture. A few
steps of a rectified flow draw one of these images.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from xray_generator.nn.residual_flow import EnlargedCondition, FlowNetwork, ResidualFlow, Statistics, make_condition

FACTOR = 2  # of the sides


class Refinement(nn.Module):
    """(B, 1, H, W) -> (B, 1, 2H, 2W), both in [-1, 1]; H and W are multiples of 4."""

    bias: Tensor  # of `Statistics`: the size of the residual, a number that is stored with the weights

    def __init__(self, channels: tuple[int, int], blocks: tuple[int, int], embedding_size: int) -> None:
        super().__init__()
        self.network = FlowNetwork(channels, blocks, embedding_size, num_levels=0)
        self.register_buffer("bias", torch.zeros(()))

    @property
    def flow(self) -> ResidualFlow:
        """The flow of the residual."""
        return ResidualFlow(self.network, Statistics((), float(self.bias)))

    def condition(self, images: Tensor) -> EnlargedCondition:
        """What the flow is given of images (B, 1, H, W)."""
        return condition_on(enlarge(images), self.flow.statistics)

    def draw(self, images: Tensor, noise: Tensor | None, num_steps: int) -> Tensor:
        """An image that fits, in [-1, 1], from unit noise (B, 1, 2H, 2W); without noise the mean of those that fit."""
        condition = self.condition(images)
        start = torch.zeros_like(condition.enlarged) if noise is None else noise
        return self.flow.sample(condition, start, 1 if noise is None else num_steps)


def condition_on(enlarged: Tensor, statistics: Statistics) -> EnlargedCondition:
    """`make_condition` of enlarged images (B, 1, H, W) without levels."""
    return make_condition(enlarged, enlarged.new_empty(len(enlarged), 0), statistics)


def enlarge(images: Tensor) -> Tensor:
    """Images (B, 1, H, W) in [-1, 1] at twice their side, by bicubic interpolation."""
    return F.interpolate(images, scale_factor=FACTOR, mode="bicubic").clamp(-1, 1)
