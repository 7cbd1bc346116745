"""The training task of the reference encoder: cross-entropy over every known label of real images."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from tqdm import tqdm

from xray_generator.data.rows import Row
from xray_generator.images import from_uint8, resize_square, to_uint8
from xray_generator.reference_encoder.labels import Targets, strata, targets
from xray_generator.reference_encoder.manifest import Calibration
from xray_generator.reference_encoder.metrics import auroc, class_quality
from xray_generator.reference_encoder.model import ReferenceEncoder
from xray_generator.training.task import Draw, step_generator

NUM_PREVIEWS = 16
ZOOM, SHIFT = 0.12, 0.06  # share of the size; share of the side
GAMMA, CONTRAST, BRIGHTNESS, NOISE, BLUR = 0.25, 0.25, 0.08, 0.02, 0.5

Augmentation = Literal["upright", "any_orientation"]
TURNS: Mapping[Augmentation, float] = MappingProxyType({"upright": 0.14, "any_orientation": math.pi})  # radians


def pack_images(rows: Sequence[Row], size: int, folder: Path) -> NDArray[np.uint8]:
    """8-bit images (N, size, size) of all rows, read once, kept in `folder` and memory-mapped by every process."""
    key = hashlib.sha256(str(size).encode())
    for row in rows:
        key.update(f"{row.path}:{row.path.stat().st_size}:{row.path.stat().st_mtime_ns}".encode())
    path = folder / f"films-{key.hexdigest()[:16]}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        packed = np.empty((len(rows), size, size), np.uint8)
        for i, row in enumerate(tqdm(rows, desc="packing", unit="image")):
            packed[i] = to_uint8(resize_square(row.image(), size))
        staged = path.with_suffix(".tmp")
        with staged.open("wb") as file:
            np.save(file, packed)
        staged.replace(path)
    images: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    return images


class PackedImages:
    """Packed images with their targets; the loss augments them, a batch at a time."""

    def __init__(self, images: NDArray[np.uint8], known: Targets) -> None:
        self.images, self.targets = images, torch.from_numpy(known)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: Draw) -> Mapping[str, Tensor]:
        image = torch.from_numpy(np.array(self.images[draw.index]))
        return {"images": image[None], "targets": self.targets[draw.index]}


def augment(images: Tensor, generator: torch.Generator, augmentation: Augmentation = "upright") -> Tensor:
    """Images (B, 1, S, S) in [0, 1] as another exposure, position and detector might have given them; never mirrored.

    The heart lies on one side, and the arms of a cilium point one way round: a mirror image is another finding. Only
    what has no upright, such as a cell, is rotated freely. Random values are drawn on the CPU, one set per image.
    """
    count, device = len(images), images.device

    def spread(limit: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1).mul(limit).to(device)

    angle, zoom = spread(TURNS[augmentation]), 1 + spread(ZOOM)
    cos, sin, right, down = zoom * angle.cos(), zoom * angle.sin(), 2 * spread(SHIFT), 2 * spread(SHIFT)
    affine = torch.stack([cos, -sin, right, sin, cos, down], dim=-1).view(count, 2, 3)
    grid = F.affine_grid(affine, list(images.shape), align_corners=False)
    corners = "border" if augmentation == "upright" else "reflection"  # a wide rotation uncovers more than a rim
    moved = F.grid_sample(images, grid, padding_mode=corners, align_corners=False)

    def per_image(values: Tensor) -> Tensor:
        return values.view(count, 1, 1, 1)

    exposed = moved.clamp(1e-4, 1) ** per_image(spread(GAMMA).exp())
    exposed = (exposed - 0.5) * per_image(1 + spread(CONTRAST)) + per_image(0.5 + spread(BRIGHTNESS))
    smooth = F.avg_pool2d(exposed, 3, 1, 1, count_include_pad=False)
    softened = exposed.lerp(smooth, per_image(spread(BLUR).clamp(min=0)))  # half of the images stay sharp
    noise = torch.randn(images.shape, generator=generator).to(device)
    return (softened + noise * per_image(spread(NOISE).clamp(min=0))).clamp(0, 1)


class EncoderLoss(nn.Module):
    """Binary cross-entropy, averaged over all known pairs of image and label."""

    def __init__(self, network: Any, augmentation: Augmentation = "upright") -> None:  # noqa: ANN401 - mypy skips it
        super().__init__()
        self.network, self.augmentation = network, augmentation

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of 8-bit images (B, 1, S, S) and targets (B, L) of 1, 0 or NaN."""
        images = augment(batch["images"].float() / 255, generator, self.augmentation)
        known = ~batch["targets"].isnan()
        logits = self.network((images * 2 - 1).contiguous(memory_format=torch.channels_last)).logits.float()
        losses = F.binary_cross_entropy_with_logits(logits, batch["targets"].nan_to_num(), reduction="none")
        return {"loss": (losses * known).sum() / known.sum().clamp(min=1)}


class EncoderTask:
    """Trains on one set of rows; validates on another by the AUROC of each label and the accuracy over classes."""

    def __init__(
        self,
        network: Any,  # noqa: ANN401 - mypy skips transformers
        labels: tuple[str, ...],
        train: Sequence[Row],
        images: NDArray[np.uint8],
        validation: Sequence[Row],
        validation_images: NDArray[np.uint8],
        classes: tuple[str, ...] = (),
        augmentation: Augmentation = "upright",
    ) -> None:
        self.module = EncoderLoss(network, augmentation)
        calibration = dict.fromkeys(labels, Calibration())
        self.encoder = ReferenceEncoder(network, images.shape[-1], calibration, classes=classes)
        self.packed = PackedImages(images, targets(train, labels))
        self.validation, self.validation_images = validation, validation_images

    def dataset(self) -> PackedImages:
        """Every training image."""
        return self.packed

    def preview(self) -> Tensor:
        """Training images as the network sees them, augmented."""
        first = torch.from_numpy(np.array(self.packed.images[:NUM_PREVIEWS]))[:, None].float() / 255
        return augment(first, step_generator(0), self.module.augmentation) * 2 - 1

    def validate(self) -> Mapping[str, float]:
        """AUROC of each label that validation images have and lack, and its mean; accuracy where there are classes."""
        logits = self.encoder.logits(from_uint8(self.validation_images))
        truth, sources = targets(self.validation, self.encoder.labels), strata(self.validation)
        values = {
            f"auroc_{label}": auroc(logits[:, i], truth[:, i], sources) for i, label in enumerate(self.encoder.labels)
        }
        measured = {name: value for name, value in values.items() if not np.isnan(value)}
        mean = {"auroc": float(np.mean(list(measured.values())))} if measured else {}
        chances = logits[:, [self.encoder.labels.index(name) for name in self.encoder.classes]]
        over_classes = class_quality(self.validation, self.encoder.classes, chances)
        return measured | mean | ({"accuracy": over_classes.accuracy} if over_classes else {})
