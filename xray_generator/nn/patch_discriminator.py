"""A small convolutional critic of the patches of an image, not of the whole (Isola et al. 2017, arXiv:1611.07004)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

DETAIL_SIDE, DETAIL_GAIN = 5, 16.0


class PatchDiscriminator(nn.Module):
    """Images (B, 1, H, W) in [-1, 1] -> one score per patch, each seeing 38 x 38 pixels.

    A second input channel holds the detail finer than `DETAIL_SIDE` pixels, amplified to about unit size: grain and
    edges are a hundredth of the range, and a new critic would take long to notice them.
    """

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        widths = (2, channels, 2 * channels, 4 * channels)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride, padding=1)
            for before, after, stride in zip(widths[:-1], widths[1:], (2, 2, 1), strict=True)
        )
        self.score = nn.Conv2d(widths[-1], 1, 4, padding=1)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores (B, 1, h, w), above zero for real, and the features of each layer."""
        coarse = F.avg_pool2d(images, DETAIL_SIDE, 1, DETAIL_SIDE // 2, count_include_pad=False)
        images, features = torch.cat([images, DETAIL_GAIN * (images - coarse)], dim=1), []
        for layer in self.layers:
            images = F.leaky_relu(layer(images), 0.2)
            features.append(images)
        return self.score(images), features
