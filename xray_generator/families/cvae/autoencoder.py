"""Encoder and decoder of residual convolutions, conditioned on the class.

As in `nn.compact_autoencoder`, 4 x 4 pixels are folded into channels first, which makes them fast on a CPU. The class
scales and shifts the features of every block (FiLM, Perez et al. 2018, arXiv:1709.07871).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from xray_generator.families.cvae.config import CVAEConfig
from xray_generator.nn.compact_autoencoder import ChannelNorm, LatentDistribution
from xray_generator.nn.conditioned_block import ConditionedBlock
from xray_generator.nn.grid import STEM
from xray_generator.types import StudioError, quote

LOG_VARIANCE = (-12.0, 8.0)


class Level(nn.Module):
    """The blocks at one resolution."""

    def __init__(self, channels: int, num_blocks: int, embedding_size: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ConditionedBlock(channels, embedding_size) for _ in range(num_blocks))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Features (B, C, H, W) given a class embedding (B, E)."""
        for block in self.blocks:
            x = block(x, embedding)
        return x


class Encoder(nn.Module):
    """(B, 1, H, W) in [-1, 1] and class weights (B, K) -> posterior over latents (B, *`CVAEConfig.latent_shape`)."""

    def __init__(self, num_classes: int, config: CVAEConfig) -> None:
        super().__init__()
        widths, size = config.shape.channels, config.embedding_size
        self.embedding = nn.Linear(num_classes, size, bias=False)
        self.stem = nn.Sequential(nn.PixelUnshuffle(STEM), nn.Conv2d(STEM**2, widths[0], 3, padding=1))
        self.levels = _levels(widths, config.shape.encoder_blocks, size)
        self.down = nn.ModuleList(
            nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * before, after, 1)) for before, after in pairwise(widths)
        )
        self.head = nn.Sequential(
            ChannelNorm(widths[-1]), nn.Conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1)
        )

    def forward(self, images: Tensor, classes: Tensor) -> LatentDistribution:
        """The posterior of each image given its class weights: one-hot, or a mixture of classes."""
        embedding, x = self.embedding(classes), self.stem(images)
        for i, level in enumerate(self.levels):
            x = level(x if i == 0 else self.down[i - 1](x), embedding)
        mean, log_variance = self.head(x).float().chunk(2, dim=1)
        return LatentDistribution(mean, log_variance.clamp(*LOG_VARIANCE))


class Decoder(nn.Module):
    """Latents (B, C, h, w) and class weights (B, K) -> (B, 1, H, W), nominally in [-1, 1].

    The final 4 x 4 unfolding takes two steps with a convolution in between: in one step it would leave a visible grid.
    """

    def __init__(self, num_classes: int, config: CVAEConfig) -> None:
        super().__init__()
        widths, size = config.shape.channels[::-1], config.embedding_size
        self.embedding = nn.Linear(num_classes, size, bias=False)
        self.stem = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.levels = _levels(widths, config.shape.decoder_blocks[::-1], size)
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, 4 * after, 1), nn.PixelShuffle(2)) for before, after in pairwise(widths)
        )
        half = max(4, widths[-1] // 2)  # channels at half the side
        self.head = nn.Sequential(
            ChannelNorm(widths[-1]),
            nn.Conv2d(widths[-1], 4 * half, 3, padding=1),
            nn.PixelShuffle(2),
            nn.SiLU(),
            nn.Conv2d(half, 4, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, latents: Tensor, classes: Tensor) -> Tensor:
        """The images that latents decode to."""
        embedding, x = self.embedding(classes), self.stem(latents)
        for i, level in enumerate(self.levels):
            x = level(x if i == 0 else self.up[i - 1](x), embedding)
        return cast(Tensor, self.head(x)).float()


def _levels(widths: Sequence[int], num_blocks: Sequence[int], embedding_size: int) -> nn.ModuleList:
    return nn.ModuleList(Level(*pair, embedding_size) for pair in zip(widths, num_blocks, strict=True))


@dataclass(frozen=True, slots=True)
class Autoencoder:
    """Encoder and decoder of the same classes; one more class weight, the last, stands for no class."""

    encoder: Encoder
    decoder: Decoder
    labels: tuple[str, ...]

    @classmethod
    def build(cls, config: CVAEConfig, labels: tuple[str, ...]) -> Autoencoder:
        """Untrained."""
        networks = Encoder(len(labels) + 1, config), Decoder(len(labels) + 1, config)
        encoder, decoder = (network.to(memory_format=torch.channels_last) for network in networks)  # type: ignore[call-overload]
        return cls(encoder, decoder, labels)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.decoder.parameters()).device

    def classes(self, label: str | None) -> Tensor:
        """Class weights (1, K) of a label, or of no class.

        Raises:
            StudioError: the class is unknown; the text lists the known ones.
        """
        if label is not None and label not in self.labels:
            raise StudioError(f"The model knows no class {quote(label)}. Allowed: {', '.join(self.labels)}.")
        index = len(self.labels) if label is None else self.labels.index(label)
        return class_weights([index], len(self.labels)).to(self.device)


def class_weights(indices: Sequence[int] | Tensor, num_labels: int) -> Tensor:
    """(B, K) one-hot class weights; index `num_labels` stands for no class."""
    return nn.functional.one_hot(torch.as_tensor(indices), num_labels + 1).float()


def drop_classes(labels: Tensor, num_labels: int, dropout: float, generator: torch.Generator) -> Tensor:
    """Class weights (B, K) of class indices (B,), a share of them replaced by no class for classifier-free guidance."""
    is_dropped = torch.rand(len(labels), generator=generator) < dropout
    return class_weights(labels.masked_fill(is_dropped.to(labels.device), num_labels), num_labels)
