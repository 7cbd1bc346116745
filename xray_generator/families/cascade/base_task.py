"""The training task of the base model: the noise in images of known classes, as the prediction type has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from xray_generator.data.rows import Row, evenly
from xray_generator.devices import initial_noise, seeded_generators
from xray_generator.families.cascade.model import Base
from xray_generator.nn.diffusion import denoise, make_scheduler
from xray_generator.nn.rectified_flow import spread_evenly
from xray_generator.training.class_images import MAX_VALIDATION, ClassImages, validation_batches
from xray_generator.types import no_report

PREVIEWS_PER_CLASS = 4


class BaseLoss(nn.Module):
    """Mean squared error of the prediction at timesteps that are spread evenly (Ho et al. 2020, eq. 14)."""

    def __init__(self, base: Base) -> None:
        super().__init__()
        self.network, self.base = base.network, base
        self.scheduler: Any = make_scheduler("ddpm", base.config)

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of images (B, 1, S, S) in [-1, 1] with classes (B,)."""
        images, classes, config = batch["images"], batch["classes"], self.base.config
        timesteps = (spread_evenly(len(images), generator) * config.num_train_timesteps).long()
        noise = torch.randn(images.shape, generator=generator).to(images)
        is_dropped = torch.rand(len(images), generator=generator) < config.class_dropout
        classes = classes.masked_fill(is_dropped.to(classes.device), len(self.base.labels))
        return {"loss": self.squared_error(images, noise, timesteps.to(images.device), classes).mean()}

    def squared_error(self, images: Tensor, noise: Tensor, timesteps: Tensor, classes: Tensor) -> Tensor:
        """(B,) mean over the pixels."""
        prediction = self.base.predict(self.scheduler.add_noise(images, noise, timesteps), timesteps, classes)
        wanted = images
        if self.base.config.prediction_type == "v_prediction":
            wanted = self.scheduler.get_velocity(images, noise, timesteps)
        return (prediction - wanted).square().mean(dim=(1, 2, 3))


class BaseTask:
    """Trains on the train split; validates by the same error at five noise levels on the validation split."""

    def __init__(self, base: Base, rows: Sequence[Row], validation: Sequence[Row]) -> None:
        self.base, (size, augmentation) = base, (base.config.image_size, base.config.augmentation)
        self.images = ClassImages(rows, base.labels, size, augmentation)
        self.validation = ClassImages(evenly(validation, MAX_VALIDATION), base.labels, size, augmentation)
        self.module = BaseLoss(base)

    def dataset(self) -> ClassImages:
        """Every training image."""
        return self.images

    @torch.no_grad()
    def preview(self) -> Tensor:
        """Images of each class and of none, one column each, all from the same noise."""
        base, config = self.base, self.base.config
        generators = seeded_generators(0, PREVIEWS_PER_CLASS)
        noise = initial_noise((1, config.image_size, config.image_size), generators, base.device)
        columns = [
            denoise(
                make_scheduler("ddim", config, config.num_inference_steps),
                base.denoiser(label, config.guidance_scale if label else 1.0),
                noise,
                generators[0],
                no_report,
            )
            for label in (*base.labels, "")
        ]
        return rearrange(columns, "classes images 1 h w -> (images classes) 1 h w").clamp(-1, 1)

    @torch.no_grad()
    def validate(self) -> Mapping[str, float]:
        """Mean squared error of the prediction, always at the same noise."""
        if not len(self.validation):
            return {}
        errors = []
        for images, noise, level, classes in validation_batches(self.validation, self.base.device):
            timestep = int(level * self.base.config.num_train_timesteps)
            timesteps = torch.full((len(images),), timestep, device=images.device)
            errors.append(self.module.squared_error(images, noise, timesteps, classes))
        return {"mse": float(torch.cat(errors).mean()), "num_images": float(len(self.validation))}
