"""A residual block of convolutions that is conditioned on an embedding: of a noise level, of a class."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from xray_generator.nn.compact_autoencoder import ChannelNorm


class ConditionedBlock(nn.Module):
    """x + conv(silu(conv(silu(norm(x) (1 + scale) + shift)))), scale and shift linear in an embedding.

    FiLM (Perez et al. 2018, arXiv:1709.07871).
    """

    def __init__(self, channels: int, embedding_size: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.modulation = nn.Linear(embedding_size, 2 * channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        for layer in (self.modulation, self.conv2):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(cast(Tensor, layer.bias))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Features (B, C, H, W) plus their correction; embedding (B, E)."""
        scale, shift = self.modulation(embedding)[..., None, None].chunk(2, dim=1)
        return x + cast(Tensor, self.conv2(F.silu(self.conv1(F.silu(self.norm(x) * (1 + scale) + shift)))))
