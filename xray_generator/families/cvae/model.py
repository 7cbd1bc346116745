"""The model: an autoencoder that is told the class, and a learned prior from which its latents are drawn.

A sample never comes from the posterior of a training image: a rectified flow (Liu et al. 2022, arXiv:2209.03003) leads
from noise to the latents of a class. Sigma 1 is noise, 0 the latents, as in diffusers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UNet2DModel
from torch import Tensor, nn

from xray_generator.families.cvae.autoencoder import Decoder, Encoder
from xray_generator.families.cvae.config import CVAEConfig
from xray_generator.nn.grain import Grain
from xray_generator.types import StudioError

NUM_TRAIN_TIMESTEPS = 1_000
NORM_GROUPS = 8
STATISTICS_BATCH = 256
StepCallback = Callable[[int, int, Tensor], None]  # step (from 1), total, estimate of the final latents


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
        """Velocity (B, C, h, w) at noise levels sigma (B,) in [0, 1], told class weights (B, K)."""
        timesteps, embedding = sigma * NUM_TRAIN_TIMESTEPS, self.embedding(classes)
        return cast(Tensor, self.unet(noisy, timesteps, class_labels=embedding).sample).float()


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


def measure_statistics(posteriors: np.ndarray[Any, np.dtype[np.float16]]) -> LatentStatistics:
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
    """The networks of one model and all that sampling needs. The last class weight stands for no class."""

    encoder: Encoder
    decoder: Decoder
    prior: Prior
    statistics: LatentStatistics
    labels: tuple[str, ...]
    grain: Grain | None = None

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.decoder.parameters()).device

    def classes(self, label: str | None) -> Tensor:
        """Class weights (1, K) of a label, or of none.

        Raises:
            StudioError: unknown; the text lists those that it knows.
        """
        if label is not None and label not in self.labels:
            raise StudioError(f"The model knows no class {label[:80]!r}. Allowed: {', '.join(self.labels)}.")
        index = len(self.labels) if label is None else self.labels.index(label)
        return class_weights([index], len(self.labels)).to(self.device)

    @torch.no_grad()
    def draw_latents(
        self, noise: Tensor, classes: Tensor, guidance_scale: float, num_steps: int, on_step: StepCallback
    ) -> Tensor:
        """Normalized latents from unit noise, both (B, C, h, w), by Euler steps along the guided velocity."""
        job: Any = FlowMatchEulerDiscreteScheduler(num_train_timesteps=NUM_TRAIN_TIMESTEPS)
        job.set_timesteps(sigmas=sigma_steps(num_steps))
        latents = noise
        for step, timestep in enumerate(job.timesteps, start=1):
            sigma = job.sigmas[step - 1].to(latents)
            velocity = self._velocity(latents, sigma.expand(len(latents)), classes, guidance_scale)
            on_step(step, num_steps, latents - sigma * velocity)
            latents = job.step(velocity, timestep, latents).prev_sample
        return latents

    def _velocity(self, latents: Tensor, sigma: Tensor, classes: Tensor, guidance_scale: float) -> Tensor:
        """Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598): without + scale (with - without)."""
        classes = classes.expand(len(latents), -1)
        told = self.prior(latents, sigma, classes)
        if guidance_scale == 1:
            return cast(Tensor, told)
        untold = self.prior(latents, sigma, self.classes(None).expand_as(classes))
        return cast(Tensor, untold + guidance_scale * (told - untold))

    def encode(self, images: Tensor, classes: Tensor) -> Tensor:
        """Posterior means (B, *`CVAEConfig.latent_shape`), normalized, of images (B, 1, H, W) in [-1, 1]."""
        return self.statistics.normalize(self.encoder(images, classes.expand(len(images), -1)).mean)

    def decode(self, latents: Tensor, classes: Tensor, noise: Tensor | None = None) -> Tensor:
        """Images (B, 1, H, W) in [-1, 1] of normalized latents.

        They are what the decoder holds for likeliest; with unit white noise of their shape, grain is drawn as well.
        """
        drawn = self.decoder(self.statistics.denormalize(latents), classes.expand(len(latents), -1))
        likeliest = cast(Tensor, drawn).float().clamp(-1, 1)
        return likeliest if self.grain is None or noise is None else self.grain.draw(likeliest, noise)


def sigma_steps(num_steps: int) -> list[float]:
    """The noise levels at which the network is asked: evenly from 1 down, the end 0 not among them."""
    return [1 - i / num_steps for i in range(num_steps)]


def class_weights(indices: Sequence[int] | Tensor, num_labels: int) -> Tensor:
    """(B, K) of class indices, of which `num_labels` stands for no class: 1 at the class, else 0."""
    return nn.functional.one_hot(torch.as_tensor(indices), num_labels + 1).float()


def build_networks(num_labels: int, config: CVAEConfig) -> tuple[Encoder, Decoder]:
    """An untrained autoencoder for that many classes, and none."""
    encoder, decoder = Encoder(num_labels + 1, config), Decoder(num_labels + 1, config)
    return (encoder.to(memory_format=torch.channels_last), decoder.to(memory_format=torch.channels_last))  # type: ignore[call-overload]


def build_grain(config: CVAEConfig) -> Grain:
    """Untrained."""
    return Grain(config.shape.grain_channels, config.shape.grain_blocks)
