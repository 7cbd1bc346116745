"""Stage 1: the autoencoder, on crops of real pixels at their own resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from xray_generator.checkpoints import Quality
from xray_generator.data.rows import Row, evenly
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig
from xray_generator.images import from_tensor, resize_square, to_tensor
from xray_generator.nn.compact_autoencoder import CompactAutoencoder
from xray_generator.training.quality import compare_pairs, validation_values
from xray_generator.training.task import Draw, step_generator

NUM_PREVIEWS = 8
MAX_VALIDATION = 256


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
    """L1 of pixels + L1 of finite differences + KL, for a variational autoencoder."""

    def __init__(self, autoencoder: CompactAutoencoder, gradient_weight: float, kl_weight: float) -> None:
        super().__init__()
        self.autoencoder, self.gradient_weight, self.kl_weight = autoencoder, gradient_weight, kl_weight

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of images (B, 1, H, W) in [-1, 1]."""
        images = batch["images"].contiguous(memory_format=torch.channels_last)
        posterior = self.autoencoder.encode(images)
        error, kl = self.autoencoder.decode(posterior.sample(generator)) - images, posterior.kl()
        pixels = error.abs().mean()
        gradients = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        loss = pixels + self.gradient_weight * gradients + self.kl_weight * kl
        return {"loss": loss, "l1": pixels, "gradient_l1": gradients, "kl": kl}


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
        return Crops(self.rows, self.config.autoencoder.crop_size, self.config.image_size)

    def preview(self) -> Tensor:
        """Validation images (training images where there are none) above their reconstructions."""
        images = load_images(evenly(self.validation or self.rows, NUM_PREVIEWS), self.config.image_size)
        return torch.cat([images, reconstruct(self.autoencoder, images)])

    def validate(self) -> Mapping[str, float]:
        """The quality of reconstructions of the validation images."""
        return validation_values(reconstruction_quality(self.autoencoder, self.validation, self.config.image_size))


def autoencoder_task(
    config: LatentDiffusionConfig, autoencoder: CompactAutoencoder, rows: Sequence[Row], validation: Sequence[Row]
) -> ReconstructionTask:
    """Stage 1: encoder and decoder; images of full resolution count `native_repeats` times."""
    module = AutoencoderLoss(autoencoder, config.autoencoder.gradient_weight, config.autoencoder.kl_weight)
    rows = repeat_native(rows, config.image_size, config.native_repeats)
    validation = native_rows(validation, config.image_size)[:MAX_VALIDATION]
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
