"""A compact variational autoencoder whose first and last layers are space-to-depth, which makes it fast on a CPU.

Full-resolution convolutions with few channels are memory-bound; folding 4x4 pixels into channels first (Shi et al.
2016, arXiv:1609.05158) gives the same receptive field at a fraction of the time. Normalization is per position, so
the network behaves alike on crops and on whole images of any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from xray_generator.nn.grid import STEM


class ChannelNorm(nn.Module):
    """RMS normalization over channels at each position (Zhang & Sennrich 2019, arXiv:1910.07467)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, C, H, W), scaled to unit mean square over C."""
        return F.rms_norm(x.movedim(1, -1), (x.shape[1],), self.scale, eps=1e-6).movedim(-1, 1)


class ResidualBlock(nn.Module):
    """x + conv(silu(conv(silu(norm(x)))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(cast(Tensor, self.conv2.bias))

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, C, H, W) plus their correction."""
        return x + cast(Tensor, self.conv2(F.silu(self.conv1(F.silu(self.norm(x))))))


@dataclass(frozen=True, slots=True)
class LatentDistribution:
    """A diagonal Gaussian over latents: mean and log variance, each (B, C, H/8, W/8)."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """mean + std * noise."""
        noise = torch.randn(self.mean.shape, generator=generator).to(self.mean)
        return self.mean + torch.exp(0.5 * self.log_variance) * noise

    def kl(self) -> Tensor:
        """KL divergence to the unit Gaussian in nats per latent value, averaged over the batch."""
        return 0.5 * (self.mean**2 + self.log_variance.exp() - 1 - self.log_variance).mean()


class CompactAutoencoder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """(B, 1, H, W) in [-1, 1] <-> latents (B, latent_channels, H/8, W/8); H and W are multiples of 16."""

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        channels: tuple[int, int] = (64, 128),  # at H/4 and at H/8
        encoder_blocks: tuple[int, int] = (2, 3),
        decoder_blocks: tuple[int, int] = (2, 3),
        latent_channels: int = 8,
    ) -> None:
        super().__init__()
        fine, coarse = channels
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(STEM),
            nn.Conv2d(STEM**2, fine, 3, padding=1),
            *(ResidualBlock(fine) for _ in range(encoder_blocks[0])),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * fine, coarse, 1),
            *(ResidualBlock(coarse) for _ in range(encoder_blocks[1])),
            ChannelNorm(coarse),
            nn.Conv2d(coarse, 2 * latent_channels, 3, padding=1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latent_channels, coarse, 3, padding=1),
            *(ResidualBlock(coarse) for _ in range(decoder_blocks[1])),
            nn.Conv2d(coarse, 4 * fine, 1),
            nn.PixelShuffle(2),
            *(ResidualBlock(fine) for _ in range(decoder_blocks[0])),
            ChannelNorm(fine),
            nn.Conv2d(fine, STEM**2, 3, padding=1),
            nn.PixelShuffle(STEM),
        )

    def encode(self, images: Tensor) -> LatentDistribution:
        """Posterior over the latents of images (B, 1, H, W) in [-1, 1]."""
        mean, log_variance = self.encoder(images).float().chunk(2, dim=1)
        return LatentDistribution(mean, log_variance.clamp(-30.0, 20.0))

    def decode(self, latents: Tensor) -> Tensor:
        """Images (B, 1, H, W), nominally in [-1, 1], of latents (B, C, H/8, W/8)."""
        return cast(Tensor, self.decoder(latents)).float()
