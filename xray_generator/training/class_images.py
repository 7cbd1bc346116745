"""The training images of a model of classes: kept in memory, moved a little at every draw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from xray_generator.data.rows import Row
from xray_generator.images import resize_square, to_tensor
from xray_generator.training.settings import AugmentationConfig
from xray_generator.training.task import Draw, step_generator
from xray_generator.types import Image

MAX_VALIDATION = 128  # images
VALIDATION_BATCH = 16
VALIDATION_LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)  # of noise: sigma of a flow, the share of a diffusion's timesteps


class ClassImages:
    """Images (1, S, S) in [-1, 1] with the place of their class in `labels`, augmented at every draw.

    Any other class counts as none, whose place is behind the last one. Kept in memory at the full depth of a scanner's
    values.
    """

    def __init__(self, rows: Sequence[Row], labels: Sequence[str], size: int, augmentation: AugmentationConfig) -> None:
        self.rows, self.size, self.augmentation = rows, size, augmentation
        self.classes = [labels.index(row.label) if row.label in labels else len(labels) for row in rows]
        self.kept: dict[str, Image] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, draw: Draw) -> Mapping[str, Tensor]:
        image = augment(self.image(draw.index), self.augmentation, step_generator(draw.seed))
        return {"images": to_tensor(image[None])[0], "classes": torch.tensor(self.classes[draw.index])}

    def image(self, index: int) -> Image:
        """(S, S) in [0, 1], not augmented; an image that is listed twice is kept once."""
        row = self.rows[index]
        key = str(row.path)
        if key not in self.kept:
            self.kept[key] = resize_square(row.image(), self.size)
        return self.kept[key]

    def batch(self, places: Sequence[int]) -> dict[str, Tensor]:
        """The images at some indices, not augmented."""
        images = to_tensor(np.stack([self.image(place) for place in places]))
        return {"images": images, "classes": torch.tensor([self.classes[place] for place in places])}


def validation_batches(data: ClassImages, device: torch.device) -> Iterator[tuple[Tensor, Tensor, float, Tensor]]:
    """Every image at each of `VALIDATION_LEVELS`: images and noise (B, 1, S, S), the level, and classes (B,).

    Not augmented, and the noise is always the same.
    """
    for start in range(0, len(data), VALIDATION_BATCH):
        batch = data.batch(range(start, min(start + VALIDATION_BATCH, len(data))))
        images, classes = batch["images"].to(device), batch["classes"].to(device)
        generator = step_generator(0, start)
        for level in VALIDATION_LEVELS:
            yield images, torch.randn(images.shape, generator=generator).to(images), level, classes


def augment(image: Image, config: AugmentationConfig, generator: torch.Generator) -> Image:
    """Rotate, scale and shift by random amounts; the border is replicated."""
    turn, zoom, right, down = (torch.rand(4, generator=generator) * 2 - 1).tolist()
    size = len(image)
    center = (size - 1) / 2
    matrix = cv2.getRotationMatrix2D((center, center), float(np.degrees(turn * config.turn)), 1 + zoom * config.zoom)
    matrix = matrix + np.array([[0, 0, right], [0, 0, down]]) * config.shift * size
    moved = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(np.clip(moved, 0.0, 1.0), np.float32)
