"""The training task: mean squared error of the velocity from noise to slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from einops import rearrange
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from xray_generator.data.rows import Row, evenly
from xray_generator.families.flow_matching.config import FlowMatchingConfig
from xray_generator.families.flow_matching.model import FlowMatching
from xray_generator.nn.rectified_flow import euler, interpolate, time_grid
from xray_generator.training.class_images import MAX_VALIDATION, ClassImages, validation_batches
from xray_generator.types import no_report

PREVIEWS_PER_CLASS, PREVIEW_STEPS = 4, 12


class FlowLoss(nn.Module):
    """Mean squared error of the velocity (Lipman et al. 2022, eq. 23) at random noise levels."""

    def __init__(self, model: FlowMatching, config: FlowMatchingConfig) -> None:
        super().__init__()
        self.network, self.model, self.config = model.network, model, config

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of images (B, 1, S, S) in [-1, 1] with classes (B,)."""
        images, classes, config = batch["images"], batch["classes"], self.config
        logits = torch.randn(len(images), generator=generator) * config.sigma_std + config.sigma_mean
        noise = torch.randn(images.shape, generator=generator).to(images)
        if config.coupling == "optimal_transport":
            noise = couple(images, noise, classes)
        is_dropped = torch.rand(len(images), generator=generator) < config.class_dropout
        classes = classes.masked_fill(is_dropped.to(classes.device), len(config.labels))
        error = self.squared_error(images, noise, logits.sigmoid().to(images), classes)
        return {"loss": error.mean()}

    def squared_error(self, images: Tensor, noise: Tensor, sigma: Tensor, classes: Tensor) -> Tensor:
        """(B,) mean over the pixels."""
        velocity = self.model.velocity(interpolate(images, noise, sigma), sigma, classes)
        return (velocity - (noise - images)).square().mean(dim=(1, 2, 3))


def couple(images: Tensor, noise: Tensor, classes: Tensor) -> Tensor:
    """The noise (B, ...) reordered within each class so that it is nearest to the images.

    Minibatch optimal transport (Tong et al. 2023, arXiv:2302.00482, section 3.2); across classes the noise of a class
    would no longer be Gaussian.
    """
    order = torch.arange(len(images))
    for index in set(classes.tolist()):
        places = (classes == index).nonzero()[:, 0].cpu()
        costs = torch.cdist(images[places].flatten(1), noise[places].flatten(1)).square()
        order[places] = places[linear_sum_assignment(costs.cpu().numpy())[1]]
    return noise[order.to(noise.device)]


class FlowMatchingTask:
    """Trains on the train split; validates by the same error at five noise levels on the validation split."""

    def __init__(
        self, config: FlowMatchingConfig, model: FlowMatching, rows: Sequence[Row], validation: Sequence[Row]
    ) -> None:
        self.config, self.model = config, model
        size, augmentation = config.image_size, config.augmentation
        self.slices = ClassImages(rows, config.labels, size, augmentation)
        self.validation = ClassImages(evenly(validation, MAX_VALIDATION), config.labels, size, augmentation)
        self.module = FlowLoss(model, config)

    def dataset(self) -> ClassImages:
        """Every training slice."""
        return self.slices

    @torch.no_grad()
    def preview(self) -> Tensor:
        """Slices of each class and of none, one column each, all from the same noise."""
        names = (*self.config.labels, "")
        size = self.config.image_size
        noise = torch.randn((PREVIEWS_PER_CLASS, 1, size, size), generator=torch.Generator().manual_seed(0))
        grid = time_grid(PREVIEW_STEPS)
        images = [euler(self.model.field(name), noise.to(self.model.device), grid, no_report) for name in names]
        return rearrange(images, "classes images 1 h w -> (images classes) 1 h w").clamp(-1, 1)

    @torch.no_grad()
    def validate(self) -> Mapping[str, float]:
        """Mean squared error of the velocity, always at the same noise."""
        if not len(self.validation):
            return {}
        errors = [
            self.module.squared_error(images, noise, images.new_full((len(images),), level), classes)
            for images, noise, level, classes in validation_batches(self.validation, self.model.device)
        ]
        return {"velocity_mse": float(torch.cat(errors).mean()), "num_images": float(len(self.validation))}
