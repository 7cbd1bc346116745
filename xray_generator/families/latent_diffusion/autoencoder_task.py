"""Stage 1: the autoencoder, on crops of real pixels at their own resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.ndimage import laplace
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from xray_generator.data.rows import Row
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig
from xray_generator.images import from_tensor, resize_square, to_tensor
from xray_generator.nn.compact_autoencoder import CompactAutoencoder
from xray_generator.training.task import Draw, step_generator

NUM_PREVIEWS = 8
MAX_VALIDATION = 256


class Crops:
    """Random square crops (1, S, S) in [-1, 1]. No flips.

    An image is enlarged only where it is smaller than a crop, so that no other crop teaches blur.
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


def detail_l1(drawn: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean absolute error of pixels, and of finite differences along both axes."""
    difference = drawn - images
    return difference.abs().mean(), difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()


class AutoencoderLoss(nn.Module):
    """L1 of pixels + L1 of finite differences + KL, for a variational autoencoder."""

    def __init__(self, autoencoder: CompactAutoencoder, gradient_weight: float, kl_weight: float) -> None:
        super().__init__()
        self.autoencoder, self.gradient_weight, self.kl_weight = autoencoder, gradient_weight, kl_weight

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of images (B, 1, H, W) in [-1, 1]."""
        images = batch["images"].contiguous(memory_format=torch.channels_last)
        posterior = self.autoencoder.encode(images)
        pixels, gradients = detail_l1(self.autoencoder.decode(posterior.sample(generator)), images)
        kl = posterior.kl()
        loss = pixels + self.gradient_weight * gradients + self.kl_weight * kl
        return {"loss": loss, "l1": pixels, "gradient_l1": gradients, "kl": kl}


class AutoencoderTask:
    """Trains `CompactAutoencoder` on the train split; validates by PSNR and SSIM on whole validation images."""

    def __init__(
        self,
        config: LatentDiffusionConfig,
        autoencoder: CompactAutoencoder,
        rows: Sequence[Row],
        validation: Sequence[Row],
    ) -> None:
        self.config, self.autoencoder, self.rows = config, autoencoder, rows
        self.validation = native_rows(validation, config.image_size)[:MAX_VALIDATION]
        settings = config.autoencoder
        self.module = AutoencoderLoss(autoencoder, settings.gradient_weight, settings.kl_weight)

    def dataset(self) -> Crops:
        """Crops of every training row, those of full resolution `native_repeats` times an epoch."""
        rows = repeat_native(self.rows, self.config.image_size, self.config.native_repeats)
        return Crops(rows, self.config.autoencoder.crop_size, self.config.image_size)

    def preview(self) -> Tensor:
        """Validation images (training images where there are none) above their reconstructions."""
        images = load_images((self.validation or self.rows)[:NUM_PREVIEWS], self.config.image_size)
        return torch.cat([images, self._reconstruct(images)])

    def validate(self) -> Mapping[str, float]:
        """Mean PSNR (dB) and SSIM of reconstructions, range [0, 1], on validation images of full resolution."""
        return reconstruction_quality(self.autoencoder, self.validation, self.config.image_size)

    def _reconstruct(self, images: Tensor) -> Tensor:
        return reconstruct(self.autoencoder, images)


def reconstruct(autoencoder: CompactAutoencoder, images: Tensor) -> Tensor:
    """Decode the posterior mean of images (B, 1, H, W)."""
    device = next(autoencoder.parameters()).device
    return autoencoder.decode(autoencoder.encode(images.to(device)).mean).clamp(-1, 1).cpu()


@torch.no_grad()
def reconstruction_quality(autoencoder: CompactAutoencoder, rows: Sequence[Row], size: int) -> dict[str, float]:
    """Mean PSNR in dB and SSIM over single images in [0, 1] at 8 bits of gray, and their number.

    `sharpness_ratio` is the mean variance of the Laplacian of the copies over that of the images.
    """
    psnr, ssim, sharpness = [], [], []
    for row in rows:
        image = load_images([row], size)
        (real,), (copy,) = from_tensor(image), from_tensor(reconstruct(autoencoder, image))
        psnr.append(-10 * np.log10(np.mean((real - copy) ** 2) + 1e-12))
        ssim.append(structural_similarity(real, copy, data_range=1.0))
        sharpness.append([laplace(copy).var(), laplace(real).var()])
    if not rows:
        return {}
    ours, theirs = np.mean(sharpness, axis=0)
    quality = {"psnr_db": float(np.mean(psnr)), "ssim": float(np.mean(ssim)), "num_images": len(rows)}
    return quality | ({"sharpness_ratio": float(ours / theirs)} if theirs > 0 else {})


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
