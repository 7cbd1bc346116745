"""The model: a class-conditional autoencoder, and a learned prior from which its latents are drawn.

A sample never starts from the posterior of a training image: a rectified flow (`nn.rectified_flow`) leads from noise to
the latents of a class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from diffusers import UNet2DModel
from numpy.typing import NDArray
from torch import Tensor, nn

from xray_generator.families.cvae.autoencoder import Autoencoder
from xray_generator.families.cvae.config import CVAEConfig
from xray_generator.nn.grain import Grain
from xray_generator.nn.rectified_flow import Field, OnState, euler, guide, time_grid
from xray_generator.types import no_report

TIME_SCALE = 1_000  # of sigma in the network's time embedding, as in diffusers
NORM_GROUPS = 8
STATISTICS_BATCH = 256


class Prior(nn.Module):
    """The velocity noise - latents at normalized noisy latents (B, C, h, w): a UNet with attention at its coarsest."""

    def __init__(self, num_classes: int, config: CVAEConfig) -> None:
        super().__init__()
        widths, blocks = config.shape.prior_channels, config.shape.prior_blocks
        plain = len(widths) - 1
        self.embedding = nn.Linear(num_classes, 4 * widths[0], bias=False)  # as wide as the UNet's embedding of time
        self.unet: Any = UNet2DModel(
            sample_size=config.latent_shape[-1],
            in_channels=config.latent_channels,
            out_channels=config.latent_channels,
            block_out_channels=widths,
            layers_per_block=blocks,
            norm_num_groups=NORM_GROUPS,
            attention_head_dim=16,
            down_block_types=(*["DownBlock2D"] * plain, "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", *["UpBlock2D"] * plain),
            class_embed_type="identity",
            resnet_time_scale_shift="scale_shift",
        )
        nn.init.zeros_(self.unet.conv_out.weight)
        nn.init.zeros_(self.unet.conv_out.bias)

    def forward(self, noisy: Tensor, sigma: Tensor, classes: Tensor) -> Tensor:
        """Velocity (B, C, h, w) at noise levels sigma (B,) in [0, 1] given class weights (B, K)."""
        output = self.unet(noisy, sigma * TIME_SCALE, class_labels=self.embedding(classes)).sample
        return cast(Tensor, output).float()


@dataclass(frozen=True, slots=True)
class LatentStatistics:
    """Mean and standard deviation of each latent channel over the training images."""

    mean: Tensor  # (C,)
    std: Tensor  # (C,)

    def normalize(self, latents: Tensor) -> Tensor:
        """(B, C, h, w) to zero mean and unit variance."""
        return (latents - self.mean.to(latents)[:, None, None]) / self.std.to(latents)[:, None, None]

    def denormalize(self, normalized: Tensor) -> Tensor:
        """The inverse of `normalize`."""
        return normalized * self.std.to(normalized)[:, None, None] + self.mean.to(normalized)[:, None, None]

    def to_json(self) -> dict[str, list[float]]:
        """The numbers, as manifests hold them."""
        return {"latent_mean": self.mean.tolist(), "latent_std": self.std.tolist()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LatentStatistics:
        """The inverse of `to_json`; KeyError for what is missing."""
        return cls(torch.tensor(data["latent_mean"]), torch.tensor(data["latent_std"]))


def measure_statistics(posteriors: NDArray[np.float16]) -> LatentStatistics:
    """Mean and deviation per channel of draws from posteriors (N, 2 C, h, w): mean, then log variance."""
    total, squares, count = torch.zeros(()).double(), torch.zeros(()).double(), 0
    for start in range(0, len(posteriors), STATISTICS_BATCH):
        batch = torch.from_numpy(posteriors[start : start + STATISTICS_BATCH].astype(np.float32)).double()
        mean, log_variance = batch.chunk(2, dim=1)
        total = total + mean.mean(dim=(2, 3)).sum(0)
        squares = squares + (mean**2 + log_variance.exp()).mean(dim=(2, 3)).sum(0)
        count += len(batch)
    variance = squares / count - (total / count) ** 2
    return LatentStatistics((total / count).float(), variance.clamp(min=1e-6).sqrt().float())


@dataclass(frozen=True, slots=True)
class CVAE:
    """The networks of one model and all that sampling needs."""

    autoencoder: Autoencoder
    prior: Prior
    statistics: LatentStatistics
    grain: Grain | None = None

    def networks(self) -> dict[str, nn.Module]:
        """The networks by name, as they are stored."""
        networks = {"encoder": self.autoencoder.encoder, "decoder": self.autoencoder.decoder, "prior": self.prior}
        return networks if self.grain is None else {**networks, "grain": self.grain}

    def field(self, classes: Tensor, guidance_scale: float) -> Field:
        """The velocity of normalized latents given class weights (1, K), guided away from that without a class."""
        none = self.autoencoder.classes(None)

        def velocity(latents: Tensor, sigma: float) -> Tensor:
            sigmas = latents.new_full((len(latents),), sigma)
            cond = self.prior(latents, sigmas, classes.expand(len(latents), -1))
            if guidance_scale == 1:
                return cast(Tensor, cond)
            uncond = self.prior(latents, sigmas, none.expand(len(latents), -1))  # a call of its own: the same last bits
            return guide(cond, uncond, guidance_scale)

        return velocity

    @torch.no_grad()
    def draw_latents(
        self, noise: Tensor, classes: Tensor, guidance_scale: float, num_steps: int, on_state: OnState = no_report
    ) -> Tensor:
        """Normalized latents from unit noise, both (B, C, h, w), by Euler steps along the guided velocity."""
        return euler(self.field(classes, guidance_scale), noise, time_grid(num_steps), on_state)

    def encode(self, images: Tensor, classes: Tensor) -> Tensor:
        """Posterior means (B, *`CVAEConfig.latent_shape`), normalized, of images (B, 1, H, W) in [-1, 1]."""
        return self.statistics.normalize(self.autoencoder.encoder(images, classes.expand(len(images), -1)).mean)

    def decode(self, latents: Tensor, classes: Tensor, noise: Tensor | None = None) -> Tensor:
        """Images (B, 1, H, W) in [-1, 1] of normalized latents; grain is added from unit white noise of their shape."""
        output = self.autoencoder.decoder(self.statistics.denormalize(latents), classes.expand(len(latents), -1))
        images = cast(Tensor, output).float().clamp(-1, 1)
        return images if self.grain is None or noise is None else self.grain.draw(images, noise)


def build_grain(config: CVAEConfig) -> Grain:
    """Untrained."""
    return Grain(config.shape.grain_channels, config.shape.grain_blocks)
