"""Stage 1: the autoencoder, on crops of real pixels at their own resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from xray_generator.checkpoints import Quality
from xray_generator.data.rows import Row, evenly
from xray_generator.families.latent_diffusion.config import AutoencoderConfig, LatentDiffusionConfig
from xray_generator.images import from_tensor, resize_square, to_tensor
from xray_generator.nn.compact_autoencoder import CompactAutoencoder
from xray_generator.training.quality import compare_pairs, validation_values
from xray_generator.training.task import Draw, step_generator

NUM_PREVIEWS = 8
MAX_VALIDATION = 256
EQUIVARIANCE_SHARE = 0.5  # of the steps


class Crops:
    """Random square crops (1, S, S) in [-1, 1]. No flips.

    Only an image smaller than a crop is enlarged: a crop of an enlarged image teaches blur.
    """

    def __init__(self, rows: Sequence[Row], crop_size: int, image_size: int) -> None:
        self.rows, self.crop_size, self.image_size = rows, crop_size, image_size

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, draw: Draw) -> Mapping[str, Tensor]:
        row, size = self.rows[draw.index], self.crop_size
        image = row.image()
        image = resize_square(image, max(size, min(self.image_size, *image.shape)))
        room = image.shape[0] - size + 1
        top, left = (int(i) for i in torch.randint(room, (2,), generator=step_generator(draw.seed)))
        crop = np.ascontiguousarray(image[top : top + size, left : left + size])
        return {"images": to_tensor(crop[None])[0]}


class AutoencoderLoss(nn.Module):
    """L1 of pixels + L1 of finite differences + KL, for a variational autoencoder whose latents bear errors.

    The decoder is given latents with noise of a random strength up to `max_noise`, as those that a denoiser draws are
    never exact: the encoder then spreads what it keeps over all channels, and small errors make small faults. In half
    of the steps latents pooled to half their side must decode to images pooled to half theirs, which takes noise out of
    the latents' high frequencies (scale equivariance: Skorokhodov et al. 2025, arXiv:2502.14831).
    """

    def __init__(self, autoencoder: CompactAutoencoder, config: AutoencoderConfig) -> None:
        super().__init__()
        self.autoencoder, self.config = autoencoder, config

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of images (B, 1, H, W) in [-1, 1]."""
        config, images = self.config, batch["images"].contiguous(memory_format=torch.channels_last)
        posterior = self.autoencoder.encode(images)
        latents, kl = posterior.sample(generator), posterior.kl()
        latents = add_noise(latents, config.max_noise, generator)
        pixels, gradients = image_errors(self.autoencoder.decode(latents), images)
        losses = {"l1": pixels, "gradient_l1": gradients, "kl": kl}
        loss = pixels + config.gradient_weight * gradients + config.kl_weight * kl
        if config.equivariance_weight and torch.rand((), generator=generator) < EQUIVARIANCE_SHARE:
            half = image_errors(self.autoencoder.decode(F.avg_pool2d(latents, 2)), F.avg_pool2d(images, 2))
            loss = loss + config.equivariance_weight * (half[0] + config.gradient_weight * half[1])
        return {"loss": loss, **losses}


def add_noise(latents: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """Latents (B, C, h, w) with noise of a random strength up to `most` standard deviations of each channel."""
    if not most:
        return latents
    strength = most * torch.rand((len(latents), 1, 1, 1), generator=generator)
    noise = (strength * torch.randn(latents.shape, generator=generator)).to(latents)
    return latents + noise * latents.std((0, 2, 3), keepdim=True)


def image_errors(ours: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """L1 of pixels, and of finite differences."""
    error = ours - images
    return error.abs().mean(), error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()


class ReconstructionTask:
    """Trains all or a part of an autoencoder on crops; validates reconstructions of whole images."""

    def __init__(
        self,
        config: LatentDiffusionConfig,
        autoencoder: CompactAutoencoder,
        module: nn.Module,
        rows: Sequence[Row],
        validation: Sequence[Row],
    ) -> None:
        self.config, self.autoencoder, self.module = config, autoencoder, module
        self.rows, self.validation = rows, validation

    def dataset(self) -> Crops:
        """A crop of every row."""
        return Crops(self.rows, self.config.autoencoder.crop_size, self.config.structure_size)

    def preview(self) -> Tensor:
        """Validation images (training images where there are none) above their reconstructions."""
        images = load_images(evenly(self.validation or self.rows, NUM_PREVIEWS), self.config.structure_size)
        return torch.cat([images, reconstruct(self.autoencoder, images)])

    def validate(self) -> Mapping[str, float]:
        """The quality of reconstructions of the validation images."""
        return validation_values(reconstruction_quality(self.autoencoder, self.validation, self.config.structure_size))


def autoencoder_task(
    config: LatentDiffusionConfig, autoencoder: CompactAutoencoder, rows: Sequence[Row], validation: Sequence[Row]
) -> ReconstructionTask:
    """Stage 1: encoder and decoder; images of full resolution count `native_repeats` times."""
    module = AutoencoderLoss(autoencoder, config.autoencoder)
    rows = repeat_native(rows, config.structure_size, config.native_repeats)
    validation = native_rows(validation, config.structure_size)[:MAX_VALIDATION]
    return ReconstructionTask(config, autoencoder, module, rows, validation)


def reconstruct(autoencoder: CompactAutoencoder, images: Tensor) -> Tensor:
    """Decode the posterior mean of images (B, 1, H, W)."""
    device = next(autoencoder.parameters()).device
    return autoencoder.decode(autoencoder.encode(images.to(device)).mean).clamp(-1, 1).cpu()


@torch.no_grad()
def reconstruction_quality(autoencoder: CompactAutoencoder, rows: Sequence[Row], size: int) -> Quality | None:
    """Of whole images, one by one; None where there is no row."""
    images = (load_images([row], size) for row in rows)
    return compare_pairs((from_tensor(image)[0], from_tensor(reconstruct(autoencoder, image))[0]) for image in images)


def load_images(rows: Sequence[Row], size: int) -> Tensor:
    """(B, 1, size, size) in [-1, 1]."""
    return to_tensor(np.stack([resize_square(row.image(), size) for row in rows]))


def is_native(row: Row, size: int) -> bool:
    """Whether the row's image reaches `size` without being enlarged."""
    return row.native_size == 0 or row.native_size >= size


def native_rows(rows: Sequence[Row], size: int) -> list[Row]:
    """The rows that reach `size`; all of them where none does."""
    return [row for row in rows if is_native(row, size)] or list(rows)


def repeat_native(rows: Sequence[Row], size: int, repeats: int) -> list[Row]:
    """All rows, those that reach `size` `repeats` times."""
    return [row for row in rows for _ in range(repeats if is_native(row, size) else 1)]
