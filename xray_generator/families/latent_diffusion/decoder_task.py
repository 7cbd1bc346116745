"""Stage 3: the decoder learns the texture of films: as much detail as they have.

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
from xray_generator.nn.detail import local_energy, mean_l1
from xray_generator.nn.patch_discriminator import PatchDiscriminator

NUM_PREVIEWS = 8
MAX_VALIDATION = 48


class DecoderLoss(nn.Module):
    """L1 of pixels and of local detail energy; a critic's judgment and L1 of its features where these have a weight.

    Detail that a latent does not place is to be there nevertheless: its energy is matched, not its pixels. The critic
    learns along by the hinge loss (Lim & Ye 2017, arXiv:1705.02894); of its features: Wang et al. 2018,
    arXiv:1711.11585, eq. 4. One optimizer trains both: each part of the sum has gradients for one of them alone.
    """

    def __init__(self, autoencoder: CompactAutoencoder, config: LatentDiffusionConfig) -> None:
        super().__init__()
        self.autoencoder, self.settings = autoencoder, config.decoder
        autoencoder.requires_grad_(requires_grad=True).encoder.requires_grad_(requires_grad=False)
        weights = (config.decoder.adversarial_weight, config.decoder.feature_weight)
        self.critic = PatchDiscriminator(config.decoder.critic_channels) if any(weights) else None

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Decoder and critic, which learns faster (Heusel et al. 2017, arXiv:1706.08500)."""
        drawing = [parameter for parameter in self.autoencoder.parameters() if parameter.requires_grad]
        critic = [] if self.critic is None else list(self.critic.parameters())
        return [{"params": drawing}, {"params": critic, "lr": self.settings.critic_rate * learning_rate}]

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of images (B, 1, H, W) in [-1, 1]."""
        images = batch["images"].contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            latents = self.autoencoder.encode(images).sample(generator)
        drawn = self.autoencoder.decode(latents)
        pixels, energy = F.l1_loss(drawn, images), mean_l1(local_energy(drawn), local_energy(images))
        parts = {"l1": pixels, "energy_l1": energy}
        loss = pixels + self.settings.energy_weight * energy
        if self.critic is not None:
            parts |= self._judged(self.critic, drawn, images)
            loss = loss + self.settings.adversarial_weight * parts["adversarial"]
            loss = loss + self.settings.feature_weight * parts["feature_l1"] + parts["critic"]
        return {"loss": loss, **parts}

    def _judged(self, critic: PatchDiscriminator, drawn: Tensor, images: Tensor) -> dict[str, Tensor]:
        real_scores, real_features = critic(images)
        fake_scores, _ = critic(drawn.detach())
        frozen = {name: value.detach() for name, value in critic.named_parameters()}
        scores, features = functional_call(critic, frozen, drawn)
        return {
            "adversarial": -scores.mean(),
            "feature_l1": mean_l1(features, real_features),
            "critic": F.relu(1 - real_scores).mean() + F.relu(1 + fake_scores).mean(),
        }


class DecoderTask:
    """Trains decoder and critic on crops of full resolution; validates PSNR, SSIM and sharpness."""

    def __init__(
        self,
        config: LatentDiffusionConfig,
        autoencoder: CompactAutoencoder,
        rows: Sequence[Row],
        validation: Sequence[Row],
    ) -> None:
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
        return reconstruction_quality(self.autoencoder, self.validation, self.size)
