"""Stage 3: the decoder against a critic, so that what it draws has the grain and the edges of films.

The encoder stays frozen: the latents, and with them the denoiser, stay what they are. L1 alone makes the mean of all
films that a latent could mean, which is blur.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F  # noqa: N812

from xray_generator.data.rows import Row, evenly
from xray_generator.families.latent_diffusion.autoencoder_task import (
    Crops,
    load_images,
    native_rows,
    reconstruct,
    reconstruction_quality,
)
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig
from xray_generator.nn.compact_autoencoder import CompactAutoencoder
from xray_generator.nn.patch_discriminator import PatchDiscriminator

NUM_PREVIEWS = 8
MAX_VALIDATION = 48


class DecoderLoss(nn.Module):
    """L1 of pixels and of finite differences, the critic's judgement, and L1 of the critic's features.

    The critic learns along by the hinge loss (Lim & Ye 2017, arXiv:1705.02894); of its features: Wang et al. 2018,
    arXiv:1711.11585, eq. 4. One optimizer trains both: each part of the sum has gradients for one of them alone.
    """

    def __init__(self, autoencoder: CompactAutoencoder, config: LatentDiffusionConfig) -> None:
        super().__init__()
        self.autoencoder, self.settings = autoencoder, config.decoder
        self.gradient_weight = config.autoencoder.gradient_weight
        autoencoder.encoder.requires_grad_(requires_grad=False)
        self.critic = PatchDiscriminator(config.decoder.critic_channels)

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Decoder and critic, which learns faster (Heusel et al. 2017, arXiv:1706.08500)."""
        rate = self.settings.critic_rate * learning_rate
        return [{"params": list(self.autoencoder.decoder.parameters())},
                {"params": list(self.critic.parameters()), "lr": rate}]  # fmt: skip

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of images (B, 1, H, W) in [-1, 1]."""
        images = batch["images"].contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            latents = self.autoencoder.encode(images).sample(generator)
        drawn = self.autoencoder.decode(latents)
        real_scores, real_features = self.critic(images)
        fake_scores, _ = self.critic(drawn.detach())
        critic = F.relu(1 - real_scores).mean() + F.relu(1 + fake_scores).mean()
        frozen = {name: value.detach() for name, value in self.critic.named_parameters()}
        scores, features = functional_call(self.critic, frozen, drawn)
        pairs = zip(features, real_features, strict=True)
        feature_error = torch.stack([F.l1_loss(ours, theirs.detach()) for ours, theirs in pairs]).mean()
        difference = drawn - images
        pixels = difference.abs().mean()
        gradients = difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
        settings, adversarial = self.settings, -scores.mean()
        loss = (
            pixels + self.gradient_weight * gradients + settings.adversarial_weight * adversarial
            + settings.feature_weight * feature_error + critic
        )  # fmt: skip
        return {
            "loss": loss, "l1": pixels, "gradient_l1": gradients, "adversarial": adversarial,
            "feature_l1": feature_error, "critic": critic,
        }  # fmt: skip


class DecoderTask:
    """Trains decoder and critic on crops of full resolution; validates PSNR, SSIM and sharpness."""

    def __init__(self, config: LatentDiffusionConfig, autoencoder: CompactAutoencoder, rows: Sequence[Row],
                 validation: Sequence[Row]) -> None:  # fmt: skip
        self.config, self.autoencoder, self.size = config, autoencoder, config.image_size
        self.rows = native_rows(rows, self.size)
        self.validation = evenly(native_rows(validation, self.size), MAX_VALIDATION)
        self.module = DecoderLoss(autoencoder, config)

    def dataset(self) -> Crops:
        """Crops of the training rows that reach the image size: an enlarged one would teach blur."""
        return Crops(self.rows, self.config.autoencoder.crop_size, self.size)

    def preview(self) -> Tensor:
        """Validation images (training images where there are none) above their reconstructions."""
        images = load_images(evenly(self.validation or self.rows, NUM_PREVIEWS), self.size)
        return torch.cat([images, reconstruct(self.autoencoder, images)])

    def validate(self) -> Mapping[str, float]:
        """PSNR (dB), SSIM, and the sharpness of reconstructions over that of their films."""
        if not self.validation:
            return {}
        quality = reconstruction_quality(self.autoencoder, self.validation, self.size)
        images = [load_images([row], self.size) for row in self.validation]
        copies = [reconstruct(self.autoencoder, image) for image in images]
        return quality | {"sharpness_ratio": sum(map(_sharpness, copies)) / sum(map(_sharpness, images))}


def _sharpness(image: Tensor) -> float:
    """Variance of the Laplacian."""
    kernel = torch.tensor([[[[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]]])
    return float(F.conv2d(image, kernel).var())
