"""The training of a network that enlarges images: the flow from noise to the residual of an image, on crops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from xray_generator.checkpoints import Quality
from xray_generator.data.rows import Row, evenly
from xray_generator.images import from_uint8, resize_square, to_tensor, to_uint8
from xray_generator.nn.degradation import Degradation, add_noise, scale_down
from xray_generator.nn.enlarger import enlarge, level_values
from xray_generator.nn.network_configs import DegradationConfig
from xray_generator.nn.residual_flow import (
    FlowNetwork,
    ResidualFlow,
    Statistics,
    fit_statistics,
    flow_loss,
    make_condition,
)
from xray_generator.training.quality import compare_pairs, validation_values
from xray_generator.training.task import Draw, step_generator
from xray_generator.types import Image

NUM_PREVIEWS = 8
PREVIEW_STEPS = (1, 4)
MAX_VALIDATION = 12  # images, each enlarged whole
MAX_KEPT = 4_000  # images kept in memory, a quarter of a megabyte each
NUM_MEASURED = 256  # images of the statistics
FACTOR = 2.0  # from 256 to 512


class EnlargingSettings(Protocol):
    """What training needs of the settings of a network that enlarges."""

    @property
    def image_size(self) -> int:
        """Side of the images, none of which is enlarged to it."""
        ...

    @property
    def crop_size(self) -> int:
        """Side of the crops that are learned from."""
        ...

    @property
    def one_step_share(self) -> float:
        """Share of a batch at sigma 1."""
        ...

    @property
    def degradation(self) -> DegradationConfig:
        """How low-resolution versions are made."""
        ...


class Crops:
    """Crops (1, S, S) of images and of their enlarged low-resolution versions, in [-1, 1]. No flips.

    The whole image is scaled down and enlarged before it is cropped, so that pixels lie as they do in use.
    """

    def __init__(self, rows: Sequence[Row], config: EnlargingSettings) -> None:
        self.rows, self.config = rows, config
        self.kept: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, draw: Draw) -> Mapping[str, Tensor]:
        generator, size = step_generator(draw.seed), self.config.crop_size
        image = self._image(draw.index)
        side, degradation = draw_degradation(self.config.degradation, len(image), generator)
        low = add_noise(scale_down(image, side, degradation.blur), degradation.noise, generator)
        enlarged = resize_square(low, len(image))
        top, left = (int(i) for i in torch.randint(len(image) - size + 1, (2,), generator=generator))
        window = slice(top, top + size), slice(left, left + size)
        pair = to_tensor(np.stack([image[window], enlarged[window]]))
        return {"images": pair[0], "enlarged": pair[1], "levels": level_values(len(image) / side, degradation)}

    def _image(self, index: int) -> Image:
        levels = self.kept.get(index)
        if levels is None:
            levels = to_uint8(resize_square(self.rows[index].image(), self.config.image_size))
            if len(self.kept) < MAX_KEPT:
                self.kept[index] = levels
        return from_uint8(levels)


def draw_degradation(config: DegradationConfig, size: int, generator: torch.Generator) -> tuple[int, Degradation]:
    """The side of the low-resolution version of an image, and its noise and blur."""
    at, noise, blur, has_noise, has_blur = torch.rand(5, generator=generator).tolist()
    least, greatest = config.factors
    return round(size / (least * (greatest / least) ** at)), Degradation(
        noise * config.max_noise if has_noise >= config.clean_share else 0.0,
        blur * config.max_blur if has_blur >= config.clean_share else 0.0,
    )


def measure_statistics(crops: Crops, seed: int) -> Statistics:
    """`fit_statistics` to up to 256 crops, one an image."""
    places = evenly(range(len(crops)), NUM_MEASURED)
    items = [crops[Draw(place, seed * 1_000_003 + place)] for place in places]
    images, enlarged, levels = (torch.stack([item[key] for item in items]) for key in ("images", "enlarged", "levels"))
    return fit_statistics(images, enlarged, levels)


class FlowLoss(nn.Module):
    """`flow_loss` of batches of `Crops`."""

    def __init__(self, network: FlowNetwork, statistics: Statistics, one_step_share: float) -> None:
        super().__init__()
        self.network, self.model, self.one_step_share = network, ResidualFlow(network, statistics), one_step_share

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of images and enlarged images (B, 1, S, S) in [-1, 1] with levels (B, 3)."""
        condition = make_condition(batch["enlarged"], batch["levels"], self.model.statistics)
        return flow_loss(self.model, batch["images"], condition, self.one_step_share, generator)


class EnlargingTask:
    """Trains `FlowNetwork` on the train split; validates by PSNR and SSIM on whole images at twice the side."""

    def __init__(
        self, config: EnlargingSettings, model: ResidualFlow, rows: Sequence[Row], validation: Sequence[Row]
    ) -> None:
        self.config, self.model, self.rows, self.validation = config, model, rows, evenly(validation, MAX_VALIDATION)
        self.module = FlowLoss(model.network, model.statistics, config.one_step_share)

    def dataset(self) -> Crops:
        """A crop of every image an epoch."""
        return Crops(self.rows, self.config)

    def preview(self) -> Tensor:
        """Crops in columns: enlarged by bicubic interpolation, in one step and in four, and the real image."""
        columns = []
        for row in evenly(self.validation or self.rows, NUM_PREVIEWS):
            image = resize_square(row.image(), self.config.image_size)
            size = min(2 * self.config.crop_size, len(image))
            start = (len(image) - size) // 2
            crop = image[start : start + size, start : start + size]
            low = scale_down(crop, round(size / FACTOR))
            enlarged = [_enlarge(self.model, low, size, steps) for steps in PREVIEW_STEPS]
            columns.append([resize_square(low, size), *enlarged, crop])
        return to_tensor(rearrange(np.array(columns), "columns rows h w -> (rows columns) h w"))

    def validate(self) -> Mapping[str, float]:
        """See `measure_enlargement`."""
        return validation_values(measure_enlargement(self.model, self.validation, self.config.image_size))


def measure_enlargement(model: ResidualFlow, rows: Sequence[Row], size: int) -> Quality | None:
    """The quality of images enlarged in one step from half the side, and bicubic PSNR; None where there is no row."""
    images = [resize_square(row.image(), size) for row in rows]
    low = [scale_down(image, round(size / FACTOR)) for image in images]
    quality = compare_pairs(zip(images, (_enlarge(model, one, size, 1) for one in low), strict=True))
    bicubic = compare_pairs(zip(images, (resize_square(one, size) for one in low), strict=True))
    return None if quality is None or bicubic is None else replace(quality, bicubic_psnr_db=bicubic.psnr_db)


def _enlarge(model: ResidualFlow, low: Image, size: int, num_steps: int) -> Image:
    """Always from the same noise."""
    return enlarge(model, low, size, num_steps, torch.Generator().manual_seed(0))
