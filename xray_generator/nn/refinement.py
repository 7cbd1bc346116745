"""From an image to one of twice the side: what of its detail can be told, and grain for what cannot.

Finer than the pixels it is given, a film holds edges, whose place the coarse image tells, and texture, which it does
not. The first is regressed; the second is drawn from a learned distribution (`nn.grain`), with noise as an input: a
deterministic network that must invent texture weaves it.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from xray_generator.nn.compact_autoencoder import ChannelNorm, ResidualBlock
from xray_generator.nn.grain import Grain
from xray_generator.nn.grid import STEM

FACTOR = 2  # of the sides


class Refinement(nn.Module):
    """(B, 1, H, W) -> (B, 1, 2H, 2W), both in [-1, 1]; H and W are multiples of 4."""

    def __init__(
        self, channels: tuple[int, int], blocks: tuple[int, int], grain_channels: int, grain_blocks: int
    ) -> None:
        super().__init__()
        (fine, coarse), (outer, inner) = channels, blocks
        self.enter = nn.Sequential(nn.PixelUnshuffle(STEM), nn.Conv2d(STEM**2, fine, 3, padding=1))
        self.inside = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * fine, coarse, 1),
            *(ResidualBlock(coarse) for _ in range(inner)),
            nn.Conv2d(coarse, 4 * fine, 1),
            nn.PixelShuffle(2),
        )
        last = nn.Conv2d(fine, STEM**2, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(cast(Tensor, last.bias))
        self.leave = nn.Sequential(
            *(ResidualBlock(fine) for _ in range(outer)), ChannelNorm(fine), last, nn.PixelShuffle(STEM)
        )
        self.grain = Grain(grain_channels, grain_blocks)

    def forward(self, images: Tensor) -> Tensor:
        """The smooth image: bicubic interpolation and its learned correction."""
        enlarged = enlarge(images).contiguous(memory_format=torch.channels_last)
        x = self.enter(enlarged)
        return enlarged + cast(Tensor, self.leave(x + self.inside(x))).float()

    def draw(self, images: Tensor, noise: Tensor | None) -> Tensor:
        """The image in [-1, 1], with grain made of unit noise (B, 1, 2H, 2W) where noise is given."""
        smooth = self(images).clamp(-1, 1)
        return smooth if noise is None else self.grain.draw(smooth, noise)


def enlarge(images: Tensor) -> Tensor:
    """Images (B, 1, H, W) at twice their side, by bicubic interpolation."""
    return F.interpolate(images, scale_factor=FACTOR, mode="bicubic")
