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
from xray_generator.families.latent_diffusion.autoencoder_task import add_noise, load_images
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig
from xray_generator.images import from_tensor, resize_square, to_tensor
from xray_generator.nn.compact_autoencoder import CompactAutoencoder
from xray_generator.nn.refinement import FACTOR, Refinement, condition_on, enlarge
from xray_generator.nn.residual_flow import fit_statistics, flow_loss
from xray_generator.training.quality import compare_pairs, validation_values
from xray_generator.training.task import Draw, step_generator

NUM_PREVIEWS = 8
MAX_VALIDATION = 48
BATCH = 16
NUM_MEASURED = 128  # films of the statistics


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
    """`flow_loss` of crops, given what the autoencoder keeps of them.

    The input is decoded from latents with noise, as those that a denoiser draws are never exact.
    """

    def __init__(self, refinement: Refinement, autoencoder: CompactAutoencoder, config: LatentDiffusionConfig) -> None:
        super().__init__()
        self.refinement, self.config, self.settings = refinement, config, config.detail
        self.frozen = (autoencoder.eval().requires_grad_(requires_grad=False),)  # in a tuple: no part of this module

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of films (B, 1, S, S) in [-1, 1], in crops at `corner` (B, 2)."""
        films, enlarged = self.pairs(batch, generator)
        flow = self.refinement.flow
        return flow_loss(flow, films, condition_on(enlarged, flow.statistics), self.settings.one_step_share, generator)

    @torch.no_grad()
    def pairs(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Crops of films and of what the autoencoder keeps of them, enlarged."""
        (autoencoder,) = self.frozen
        images, corners, size = batch["images"], batch["corner"].tolist(), self.settings.crop_size
        small = F.avg_pool2d(images, FACTOR).contiguous(memory_format=torch.channels_last)
        latents = autoencoder.encode(small).mean
        structure = autoencoder.decode(add_noise(latents, self.settings.max_noise, generator)).clamp(-1, 1)
        films, enlarged = (
            torch.stack([_crop(one, corner, size) for one, corner in zip(whole, corners, strict=True)])
            for whole in (images, enlarge(structure))
        )
        return films, enlarged


def _crop(image: Tensor, corner: list[int], side: int) -> Tensor:
    top, left = corner
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

    def measure_residual(self) -> None:
        """Fit the refinement's size of the residual to one crop of some films."""
        films, device = self.dataset(), next(self.refinement.parameters()).device
        items = [films[Draw(place, place)] for place in evenly(range(len(films)), NUM_MEASURED)]
        found, enlarged = [], []
        for start in range(0, len(items), BATCH):
            batch = {name: torch.stack([item[name] for item in items[start : start + BATCH]]) for name in items[0]}
            batch = {name: value.to(device) for name, value in batch.items()}
            pair = self.module.pairs(batch, step_generator(start))
            found.append(pair[0].cpu())
            enlarged.append(pair[1].cpu())
        statistics = fit_statistics(torch.cat(found), torch.cat(enlarged), torch.empty(len(items), 0))
        self.refinement.bias.fill_(statistics.bias)

    def dataset(self) -> Films:
        """A crop of every film an epoch."""
        return Films(self.rows, self.config)

    def preview(self) -> Tensor:
        """Films in columns: what the autoencoder keeps, enlarged; with detail; and the real film."""
        films = load_images(evenly(self.validation or self.rows, NUM_PREVIEWS), self.config.image_size)
        steps = self.config.detail.num_inference_steps
        kept = enlarge(decode_structure(self.autoencoder, films)).cpu()
        drawn = give_back(self.autoencoder, self.refinement, films, steps)
        return rearrange([kept, drawn, films], "kind n c h w -> (kind n) c h w")

    def validate(self) -> Mapping[str, float]:
        """See `detail_quality`."""
        return validation_values(detail_quality(self.autoencoder, self.refinement, self.validation, self.config))


def decode_structure(autoencoder: CompactAutoencoder, films: Tensor) -> Tensor:
    """Films (B, 1, S, S) scaled to half the side, encoded and decoded."""
    small = F.avg_pool2d(films.to(autoencoder.device), FACTOR)
    structure: Tensor = autoencoder.decode(autoencoder.encode(small).mean).clamp(-1, 1)
    return structure


@torch.no_grad()
def give_back(autoencoder: CompactAutoencoder, refinement: Refinement, films: Tensor, num_steps: int) -> Tensor:
    """Films (B, 1, S, S) in [-1, 1] through autoencoder and refinement, the same each time; no steps: their mean."""
    noise = torch.randn(films.shape, generator=step_generator(0)).to(autoencoder.device) if num_steps else None
    return refinement.draw(decode_structure(autoencoder, films), noise, num_steps).cpu()


def detail_quality(
    autoencoder: CompactAutoencoder, refinement: Refinement, rows: Sequence[Row], config: LatentDiffusionConfig
) -> Quality | None:
    """PSNR and SSIM of the mean, sharpness of drawn detail, on whole films; and PSNR of bicubic interpolation."""
    films = [load_images([row], config.image_size) for row in rows]

    def quality(copies: Sequence[Tensor]) -> Quality | None:
        return compare_pairs((from_tensor(a)[0], from_tensor(b)[0]) for a, b in zip(films, copies, strict=True))

    mean, drawn = (
        quality([give_back(autoencoder, refinement, film, steps) for film in films])
        for steps in (0, config.detail.num_inference_steps)
    )
    with torch.no_grad():
        plain = quality([enlarge(decode_structure(autoencoder, film)).cpu() for film in films])
    if mean is None or drawn is None or plain is None:
        return None
    return replace(mean, sharpness_ratio=drawn.sharpness_ratio, bicubic_psnr_db=plain.psnr_db)
