"""Stage 2: from the decoded structure to the film, on crops of films that reach the image size by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from xray_generator.checkpoints import Quality
from xray_generator.data.rows import Row, evenly
from xray_generator.families.latent_diffusion.autoencoder_task import add_noise, image_errors, load_images
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig
from xray_generator.images import from_tensor, resize_square, to_tensor
from xray_generator.nn.compact_autoencoder import CompactAutoencoder
from xray_generator.nn.refinement import FACTOR, Refinement, enlarge
from xray_generator.training.quality import compare_pairs, validation_values
from xray_generator.training.task import Draw, step_generator

NUM_PREVIEWS = 8
MAX_VALIDATION = 48
GRAIN_WEIGHT = 0.01  # its likelihood is in nats; the networks share no weights, only the optimizer's clipping


class Films:
    """Whole films (1, S, S) in [-1, 1], and the corner of a crop, drawn at random in steps of a latent."""

    def __init__(self, rows: Sequence[Row], config: LatentDiffusionConfig) -> None:
        self.rows, self.size, self.crop_size = rows, config.image_size, config.detail.crop_size

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, draw: Draw) -> Mapping[str, Tensor]:
        image = resize_square(self.rows[draw.index].image(), self.size)
        corner = torch.randint(self.size - self.crop_size + 1, (2,), generator=step_generator(draw.seed))
        return {"images": to_tensor(image[None])[0], "corner": corner // FACTOR * FACTOR}


class DetailLoss(nn.Module):
    """L1 of pixels and of finite differences of the smooth image; likelihood of the grain that it leaves out.

    The input is decoded from latents with noise, as those that a denoiser draws are never exact.
    """

    def __init__(self, refinement: Refinement, autoencoder: CompactAutoencoder, config: LatentDiffusionConfig) -> None:
        super().__init__()
        self.refinement, self.config, self.settings = refinement, config, config.detail
        self.frozen = (autoencoder.eval().requires_grad_(requires_grad=False),)  # in a tuple: no part of this module

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of films (B, 1, S, S) in [-1, 1], in crops at `corner` (B, 2)."""
        images, corners, size = batch["images"], batch["corner"].tolist(), self.settings.crop_size
        with torch.no_grad():
            structure = self._structure(images, generator)
        small = torch.stack([_crop(one, corner, size, FACTOR) for one, corner in zip(structure, corners, strict=True)])
        films = torch.stack([_crop(one, corner, size) for one, corner in zip(images, corners, strict=True)])
        smooth = self.refinement(small)
        pixels, gradients = image_errors(smooth, films)
        fixed = smooth.detach().clamp(-1, 1)
        grain = self.refinement.grain.negative_log_likelihood(fixed, films - fixed).mean()
        with torch.no_grad():
            plain = F.mse_loss(enlarge(small), films)
        return {
            "loss": pixels + gradients + GRAIN_WEIGHT * grain,
            "l1": pixels,
            "grain": grain,
            "mse_over_bicubic": F.mse_loss(smooth.detach(), films) / plain,
        }

    def _structure(self, images: Tensor, generator: torch.Generator) -> Tensor:
        (autoencoder,) = self.frozen
        small = F.avg_pool2d(images, FACTOR).contiguous(memory_format=torch.channels_last)
        latents = autoencoder.encode(small).mean
        structure: Tensor = autoencoder.decode(add_noise(latents, self.settings.max_noise, generator)).clamp(-1, 1)
        return structure


def _crop(image: Tensor, corner: list[int], size: int, factor: int = 1) -> Tensor:
    top, left, side = (value // factor for value in (*corner, size))
    return image[:, top : top + side, left : left + side]


class DetailTask:
    """Trains `Refinement` behind a frozen autoencoder; validates whole films through both."""

    def __init__(
        self,
        config: LatentDiffusionConfig,
        refinement: Refinement,
        autoencoder: CompactAutoencoder,
        rows: Sequence[Row],
        validation: Sequence[Row],
    ) -> None:
        self.config, self.refinement, self.autoencoder, self.rows = config, refinement, autoencoder, rows
        self.validation = evenly(validation, MAX_VALIDATION)
        self.module = DetailLoss(refinement, autoencoder, config)

    def dataset(self) -> Films:
        """A crop of every film an epoch."""
        return Films(self.rows, self.config)

    def preview(self) -> Tensor:
        """Films in columns: decoded and enlarged by bicubic interpolation, refined, with grain, and the real film."""
        films = load_images(evenly(self.validation or self.rows, NUM_PREVIEWS), self.config.image_size)
        rows = [films, *(give_back(self.autoencoder, self.refinement, films, grain=grain) for grain in (True, False))]
        structure = decode_structure(self.autoencoder, films)
        return rearrange([enlarge(structure).clamp(-1, 1), rows[2], rows[1], films], "kind n c h w -> (kind n) c h w")

    def validate(self) -> Mapping[str, float]:
        """See `detail_quality`."""
        return validation_values(
            detail_quality(self.autoencoder, self.refinement, self.validation, self.config.image_size)
        )


def decode_structure(autoencoder: CompactAutoencoder, films: Tensor) -> Tensor:
    """Films (B, 1, S, S) scaled to half the side, encoded and decoded."""
    small = F.avg_pool2d(films.to(autoencoder.device), FACTOR)
    return autoencoder.decode(autoencoder.encode(small).mean).clamp(-1, 1)


@torch.no_grad()
def give_back(autoencoder: CompactAutoencoder, refinement: Refinement, films: Tensor, *, grain: bool) -> Tensor:
    """Films (B, 1, S, S) in [-1, 1] through autoencoder and refinement, the same each time."""
    noise = torch.randn(films.shape, generator=step_generator(0)).to(autoencoder.device) if grain else None
    return refinement.draw(decode_structure(autoencoder, films), noise).cpu()


def detail_quality(
    autoencoder: CompactAutoencoder, refinement: Refinement, rows: Sequence[Row], size: int
) -> Quality | None:
    """PSNR and SSIM of whole films without grain, their sharpness with it, and PSNR of bicubic interpolation."""
    films = [load_images([row], size) for row in rows]

    def quality(copies: Sequence[Tensor]) -> Quality | None:
        return compare_pairs((from_tensor(a)[0], from_tensor(b)[0]) for a, b in zip(films, copies, strict=True))

    smooth, grained = (
        quality([give_back(autoencoder, refinement, film, grain=grain) for film in films]) for grain in (False, True)
    )
    with torch.no_grad():
        plain = quality([enlarge(decode_structure(autoencoder, film)).clamp(-1, 1).cpu() for film in films])
    if smooth is None or grained is None or plain is None:
        return None
    return replace(smooth, sharpness_ratio=grained.sharpness_ratio, bicubic_psnr_db=plain.psnr_db)
