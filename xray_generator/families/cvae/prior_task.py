"""Stage 2: the prior learns the distribution of each class's latents. Latents are kept in the run's folder alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from tqdm import tqdm

from xray_generator.data.rows import Row
from xray_generator.devices import initial_noise, seeded_generators
from xray_generator.families.cvae.autoencoder import Autoencoder, drop_classes
from xray_generator.families.cvae.autoencoder_task import SYMMETRIES, apply_symmetry, encode_row, load_square
from xray_generator.families.cvae.config import CVAEConfig
from xray_generator.families.cvae.model import CVAE, LatentStatistics, Prior
from xray_generator.nn.rectified_flow import interpolate
from xray_generator.training.cache import cached_array, content_key
from xray_generator.training.task import Draw, step_generator

Posteriors = NDArray[np.float16]  # (N, 2 C, h, w): mean, then log variance

NUM_PREVIEWS = 16
VALIDATION_BATCH = 32


def cache_posteriors(autoencoder: Autoencoder, rows: Sequence[Row], config: CVAEConfig, folder: Path) -> Posteriors:
    """The posteriors (N V, 2 C, h, w) of all rows, each in V of its symmetries, kept in `folder`, mapped from disk."""
    names = (f"{row.path} {row.label}\n".encode() for row in rows)
    key = content_key(f"{config.size} {pick_symmetries(config, 0)}", autoencoder.encoder, names)
    return cached_array(folder, f"posteriors-{key}", partial(_encode, autoencoder, rows, config))


def pick_symmetries(config: CVAEConfig, index: int) -> list[int]:
    """Which symmetries of image `index` are encoded: evenly spread, and different from one image to the next."""
    possible = SYMMETRIES[config.symmetries]
    count = min(config.latent_variants, possible)
    return [(index + i * possible // count) % possible for i in range(count)]


def _encode(autoencoder: Autoencoder, rows: Sequence[Row], config: CVAEConfig) -> Posteriors:
    encoded = []
    for index, row in enumerate(tqdm(rows, desc="encoding", unit="image")):
        for symmetry in pick_symmetries(config, index):
            posterior = encode_row(autoencoder, row, config.size, symmetry)
            encoded.append(torch.cat([posterior.mean, posterior.log_variance], dim=1).half().cpu().numpy())
    channels, height, width = config.latent_shape
    return np.concatenate(encoded) if encoded else np.empty((0, 2 * channels, height, width), np.float16)


class LatentRows:
    """A draw from the posterior of an image, normalized, with its mask (1, h, w) and the index of the class."""

    def __init__(
        self,
        posteriors: Posteriors,
        rows: Sequence[Row],
        statistics: LatentStatistics,
        labels: Sequence[str],
        config: CVAEConfig,
    ) -> None:
        self.posteriors, self.statistics, self.config = posteriors, statistics, config
        self.labels = [labels.index(row.label) for row in rows]
        self.masks = [latent_mask(row, config) for row in rows]

    def __len__(self) -> int:
        return len(self.posteriors)

    def __getitem__(self, draw: Draw) -> Mapping[str, Tensor]:
        index, variant = divmod(draw.index, len(self.posteriors) // len(self.labels))
        mean, log_variance = torch.from_numpy(self.posteriors[draw.index].astype(np.float32)).chunk(2)
        noise = torch.randn(mean.shape, generator=step_generator(draw.seed))
        latents = self.statistics.normalize((mean + (0.5 * log_variance).exp() * noise)[None])[0]
        mask = apply_symmetry(self.masks[index], pick_symmetries(self.config, index)[variant])
        return {"latents": latents, "mask": torch.from_numpy(mask)[None], "label": torch.tensor(self.labels[index])}


def latent_mask(row: Row, config: CVAEConfig) -> NDArray[np.float32]:
    """(h, w): 1 where a latent covers image alone, 0 where it covers any padding."""
    padding = torch.from_numpy(1 - load_square(row, config.size).mask())
    mask: NDArray[np.float32] = (1 - F.max_pool2d(padding[None, None], config.reduction))[0, 0].numpy()
    return mask


def stratified_sigmas(count: int, generator: torch.Generator) -> Tensor:
    """(count,) noise levels: logit-normal (Esser et al. 2024, arXiv:2403.03206), one in each of equal quantiles."""
    places = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    quantiles: Tensor = torch.special.ndtri(places.clamp(1e-4, 1 - 1e-4))
    return quantiles.sigmoid()


class PriorLoss(nn.Module):
    """Mean squared error of the velocity noise - latents; padding does not count."""

    def __init__(self, prior: Prior, num_labels: int, class_dropout: float) -> None:
        super().__init__()
        self.prior, self.num_labels, self.class_dropout = prior, num_labels, class_dropout

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of normalized latents (B, C, h, w) with masks (B, 1, h, w) and labels."""
        latents, mask = batch["latents"], batch["mask"]
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        sigma = stratified_sigmas(len(latents), generator).to(latents)
        classes = drop_classes(batch["label"], self.num_labels, self.class_dropout, generator)
        velocity = self.prior(interpolate(latents, noise, sigma), sigma, classes.to(latents.device))
        errors = mask * (velocity - (noise - latents)).square()
        return {"loss": errors.mean() / mask.mean().clamp(min=1e-3)}


class PriorTask:
    """Trains the prior on latents of the train split; validates its loss on those of the validation split."""

    def __init__(self, config: CVAEConfig, model: CVAE, training: LatentRows, validation: LatentRows) -> None:
        self.config, self.model, self.training, self.validation = config, model, training, validation
        self.labels = model.autoencoder.labels
        self.module = PriorLoss(model.prior, len(self.labels), config.prior.class_dropout)

    def dataset(self) -> LatentRows:
        """Every variant of every training image."""
        return self.training

    def preview(self) -> Tensor:
        """Guided samples of every class in turn, always from the same noise."""
        model, settings = self.model, self.config.prior
        images = []
        for i, generator in enumerate(seeded_generators(0, NUM_PREVIEWS)):
            noise = initial_noise(self.config.latent_shape, [generator], model.autoencoder.device)
            classes = model.autoencoder.classes(self.labels[i % len(self.labels)])
            latents = model.draw_latents(noise, classes, settings.guidance_scale, settings.num_inference_steps)
            images.append(model.decode(latents, classes).cpu())
        return torch.cat(images)

    @torch.no_grad()
    def validate(self) -> Mapping[str, float]:
        """Mean loss over the validation split at fixed noise and levels."""
        rows, total = self.validation, 0.0
        for start in range(0, len(rows), VALIDATION_BATCH):
            items = [rows[Draw(i, i)] for i in range(start, min(start + VALIDATION_BATCH, len(rows)))]
            batch = {key: torch.stack([item[key] for item in items]) for key in items[0]}
            batch = {key: value.to(self.model.autoencoder.device) for key, value in batch.items()}
            total += float(self.module(batch, step_generator(0, start))["loss"]) * len(items)
        return {"validation_loss": total / len(rows)} if len(rows) else {}
