"""Stage 3: the decoder learns to draw as much detail as films have.

L1 alone leads to the mean of all films that a latent could stand for, which is blurred. The encoder stays frozen, so
that the latents, and with them the denoiser, stay valid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F  # noqa: N812

from xray_generator.data.rows import Row, evenly
from xray_generator.families.latent_diffusion.autoencoder_task import ReconstructionTask, native_rows
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig
from xray_generator.nn.compact_autoencoder import CompactAutoencoder
from xray_generator.nn.detail import local_energy, mean_l1
from xray_generator.nn.patch_discriminator import PatchDiscriminator

MAX_VALIDATION = 48


class DecoderLoss(nn.Module):
    """L1 of pixels and of local detail energy; an adversarial loss and L1 of a critic's features where weighted.

    Of detail whose place the latents do not hold, the energy is matched and not the pixels. The critic learns along by
    the hinge loss (Lim & Ye 2017, arXiv:1705.02894); feature matching: Wang et al. 2018, arXiv:1711.11585, eq. 4. One
    optimizer trains both, for each term of the sum has gradients for one of them alone.
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
            parts |= _critic_losses(self.critic, drawn, images)
            loss = loss + self.settings.adversarial_weight * parts["adversarial"]
            loss = loss + self.settings.feature_weight * parts["feature_l1"] + parts["critic"]
        return {"loss": loss, **parts}


def _critic_losses(critic: PatchDiscriminator, drawn: Tensor, images: Tensor) -> dict[str, Tensor]:
    real_scores, real_features = critic(images)
    fake_scores, _ = critic(drawn.detach())
    frozen = {name: value.detach() for name, value in critic.named_parameters()}
    scores, features = functional_call(critic, frozen, drawn)
    return {
        "adversarial": -scores.mean(),
        "feature_l1": mean_l1(features, real_features),
        "critic": F.relu(1 - real_scores).mean() + F.relu(1 + fake_scores).mean(),
    }


def decoder_task(
    config: LatentDiffusionConfig, autoencoder: CompactAutoencoder, rows: Sequence[Row], validation: Sequence[Row]
) -> ReconstructionTask:
    """On images that reach the image size alone: crops of an enlarged one would teach blur."""
    rows = native_rows(rows, config.image_size)
    validation = evenly(native_rows(validation, config.image_size), MAX_VALIDATION)
    return ReconstructionTask(config, autoencoder, DecoderLoss(autoencoder, config), rows, validation)
