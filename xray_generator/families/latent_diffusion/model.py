"""The latent diffusion model (Rombach et al. 2022, arXiv:2112.10752): its networks, latents and schedulers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from diffusers import UNet2DConditionModel
from einops import einsum, rearrange
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from xray_generator.devices import initial_noise
from xray_generator.families.latent_diffusion.config import DetailConfig, ScheduleConfig, UNetConfig
from xray_generator.families.latent_diffusion.facts import NUM_FACTS, encode_facts
from xray_generator.families.latent_diffusion.guidance import Condition, Conditioning, GuidedDenoiser, Sampling
from xray_generator.families.latent_diffusion.text import TextEncoder
from xray_generator.nn import diffusion
from xray_generator.nn.compact_autoencoder import CompactAutoencoder
from xray_generator.nn.diffusion import Schedule, Scheduler, StepCallback, denoise
from xray_generator.nn.refinement import FACTOR, Refinement

REFINEMENT = "refinement"  # the folder of the network that draws detail
FEW_STEP = "few_step"  # the distilled adapter, where a checkpoint has one: DDIM with guidance built in


def make_scheduler(name: str, schedule: Schedule, num_inference_steps: int | None = None) -> Scheduler:
    """`diffusion.make_scheduler`, with the one that goes with the distilled adapter."""
    return diffusion.make_scheduler("ddim" if name == FEW_STEP else name, schedule, num_inference_steps)


def build_unet(config: UNetConfig, latent_channels: int, sample_size: int, embedding_size: int) -> Any:  # noqa: ANN401
    """An untrained denoiser of folded latents (B, D, S, S), conditioned on a prompt's words and on its facts."""
    depth, plain, channels = len(config.channels), config.plain_levels, config.fold**2 * latent_channels
    return UNet2DConditionModel(
        sample_size=sample_size,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=config.channels,
        layers_per_block=config.layers_per_block,
        down_block_types=("DownBlock2D",) * plain + ("CrossAttnDownBlock2D",) * (depth - plain - 1) + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (depth - plain - 1) + ("UpBlock2D",) * plain,
        cross_attention_dim=embedding_size,
        attention_head_dim=config.num_heads,  # diffusers: this is the head count
        class_embed_type="projection",  # diffusers: what is added to the embedding of the noise level
        projection_class_embeddings_input_dim=NUM_FACTS,
    )


def build_refinement(config: DetailConfig) -> Refinement:
    """An untrained network, in the memory layout that is fastest on CPUs."""
    network: Any = Refinement(config.channels, config.blocks, config.embedding_size)
    return cast(Refinement, network.to(memory_format=torch.channels_last))


@dataclass(frozen=True, slots=True)
class LatentStatistics:
    """Mean, principal axes and standard deviation along each axis of the folded training latents (D = fold^2 C).

    The denoiser sees y = axes (fold(z) - mean) / std: every axis meets the noise at the same signal-to-noise ratio.
    Scaled channel by channel instead, brightness, which many channels share, would hold nearly all variance, and detail
    would drown.
    """

    mean: Tensor  # (D,)
    std: Tensor  # (D,)
    axes: Tensor  # (D, D), orthonormal rows
    fold: int = 2  # latents a side that are one position of the denoiser

    def normalize(self, latents: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, H/fold, W/fold): zero mean, unit variance, no correlation between channels."""
        folded = rearrange(latents, "b c (h p) (w q) -> b (c p q) h w", p=self.fold, q=self.fold)
        centered = folded - self.mean.to(latents)[:, None, None]
        whitened: Tensor = einsum(self.axes.to(latents), centered, "o c, b c h w -> b o h w")
        return whitened / self.std.to(latents)[:, None, None]

    def denormalize(self, whitened: Tensor) -> Tensor:
        """The inverse of `normalize`."""
        scaled = whitened * self.std.to(whitened)[:, None, None]
        centered: Tensor = einsum(self.axes.to(whitened), scaled, "c o, b c h w -> b o h w")
        folded = centered + self.mean.to(whitened)[:, None, None]
        return rearrange(folded, "b (c p q) h w -> b c (h p) (w q)", p=self.fold, q=self.fold)

    def to_json(self) -> dict[str, Any]:
        """The numbers, as manifests and caches hold them."""
        return {
            "latent_mean": self.mean.tolist(),
            "latent_std": self.std.tolist(),
            "latent_axes": self.axes.tolist(),
            "latent_fold": self.fold,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LatentStatistics:
        """The inverse of `to_json`; KeyError for what is missing."""
        mean, std, axes = (torch.tensor(data[name]) for name in ("latent_mean", "latent_std", "latent_axes"))
        return cls(mean, std, axes, int(data.get("latent_fold", 2)))


@dataclass(frozen=True, slots=True)
class LatentDiffusion:
    """The networks of one model and all that sampling needs."""

    autoencoder: CompactAutoencoder
    unet: UNet2DConditionModel
    text_encoder: TextEncoder
    statistics: LatentStatistics
    schedule: ScheduleConfig
    image_size: int
    few_step_unet: UNet2DConditionModel | None = None
    refinement: Refinement | None = None  # draws the detail of images whose latents hold half the side
    detail_steps: int = 1  # of the refinement

    def embed(self, prompts: Sequence[str]) -> Condition:
        """The condition of some prompts."""
        ids, mask = (tokens.to(self.unet.device) for tokens in self.text_encoder.tokenize(prompts))
        facts = encode_facts(prompts)
        if isinstance(getattr(self.unet, "class_embedding", None), nn.Embedding):  # an older model: 1 means enlarged
            facts = torch.zeros(len(prompts), dtype=torch.long)
        return Condition(self.text_encoder(ids, mask), mask, facts.to(self.unet.device))

    def denoiser(self, conditioning: Conditioning, scheduler: str) -> GuidedDenoiser:
        """The guided denoiser that goes with a scheduler; the distilled one has its guidance built in."""
        unet = self.unet
        if scheduler == FEW_STEP:
            unet, conditioning = self.few_step_unet, replace(conditioning, guidance_scale=1.0)
        return GuidedDenoiser(unet, self.schedule, self.embed, conditioning)

    def sample_latents(
        self, noise: Tensor, sampling: Sampling, generator: torch.Generator, on_step: StepCallback
    ) -> Tensor:
        """x_0 (1, D, h, w), folded latents, from unit noise of that shape."""
        conditioning, name, num_inference_steps, eta = sampling
        scheduler = make_scheduler(name, self.schedule, num_inference_steps)
        return denoise(scheduler, self.denoiser(conditioning, name), noise, generator, on_step, eta=eta)

    def side_of(self, image_size: int) -> int:
        """Positions a side at which the denoiser sees an image of that side."""
        return image_size // (8 * self.statistics.fold * self.factor)

    @property
    def factor(self) -> int:
        """The side of an image over that of what the autoencoder sees of it."""
        return 1 if self.refinement is None else FACTOR

    def encode(self, images: Tensor) -> Tensor:
        """The autoencoder's latents (B, C, h, w) of images (B, 1, H, W) in [-1, 1]."""
        return self.autoencoder.encode(F.avg_pool2d(images, self.factor)).mean

    def decode_latents(self, latents: Tensor, generators: Sequence[torch.Generator] = ()) -> Tensor:
        """Images (B, 1, H, W) in [-1, 1]; a generator for each draws their detail, where this model draws any."""
        images = self.autoencoder.decode(latents).clamp(-1, 1)
        if self.refinement is None:
            return images
        shape = (1, *(FACTOR * side for side in images.shape[-2:]))
        noise = initial_noise(shape, generators, images.device) if generators else None
        return self.refinement.draw(images, noise, self.detail_steps)

    def decode(self, folded: Tensor, generators: Sequence[torch.Generator] = ()) -> Tensor:
        """`decode_latents` of what the denoiser gives."""
        return self.decode_latents(self.statistics.denormalize(folded), generators)
