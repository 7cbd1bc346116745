"""LPIPS, a perceptual distance by VGG-16 (Zhang et al. 2018, arXiv:1801.03924), where its weights are at hand.

They are two files that torchvision and torch-fidelity keep in torch's cache: VGG-16 trained on ImageNet, and the weight
of each of its channels in the distance. Neither package is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from xray_generator.evaluation.pretrained import checked_weights
from xray_generator.images import to_tensor
from xray_generator.types import StudioError

VGG_FILE, CHANNELS_FILE = "vgg16-397923af.pth", "weights-vgg16-lpips.pth"
LEVELS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))  # convolutions of VGG-16's features, pooled between
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of red, green and blue from -1 to 1
SMALL = 1e-10
BATCH = 4


@dataclass(frozen=True, slots=True)
class Lpips:
    """The distance, as version 0.1 of its authors: of gray images in three equal channels, at their own size."""

    vgg: Mapping[str, Tensor]  # `features.N.weight` and `.bias`
    channels: tuple[Tensor, ...]  # (1, C, 1, 1) of each level
    name: str = "LPIPS 0.1 (VGG-16)"

    def __call__(self, images: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
        """(N,) distances of images (N, H, W) in [0, 1] to as many others of the same size; 0 is identical."""
        parts = [
            self._distances(to_tensor(images[start : start + BATCH]), to_tensor(others[start : start + BATCH]))
            for start in range(0, len(images), BATCH)
        ]
        return np.concatenate(parts) if parts else np.empty(0)

    @torch.inference_mode()
    def _distances(self, images: Tensor, others: Tensor) -> NDArray[np.float64]:
        total = torch.zeros(len(images))
        for ours, theirs, channels in zip(self._levels(images), self._levels(others), self.channels, strict=True):
            total += F.conv2d((ours - theirs).square(), channels).mean(dim=(1, 2, 3))
        return np.asarray(total.double().numpy())

    def _levels(self, images: Tensor) -> list[Tensor]:
        """Features of each level, of length 1 at each position."""
        x = (images.expand(-1, 3, -1, -1) - torch.tensor(SHIFT)[:, None, None]) / torch.tensor(SCALE)[:, None, None]
        found: list[Tensor] = []
        for level in LEVELS:
            x = F.max_pool2d(x, 2) if found else x
            for place in level:
                weight, bias = (self.vgg[f"features.{place}.{kind}"] for kind in ("weight", "bias"))
                x = F.relu(F.conv2d(x, weight, bias, padding=1))
            found.append(x / (x.square().sum(dim=1, keepdim=True).sqrt() + SMALL))
        return found


def load_lpips(folder: Path | None = None) -> Lpips:
    """The distance with the weights in torch's cache or `folder`; StudioError where they are missing or do not fit."""
    place = folder or Path(torch.hub.get_dir()) / "checkpoints"
    vgg, channels = (
        torch.load(checked_weights(place / name), map_location="cpu", weights_only=True)
        for name in (VGG_FILE, CHANNELS_FILE)
    )
    names = [f"features.{place}.{kind}" for level in LEVELS for place in level for kind in ("weight", "bias")]
    try:
        return Lpips(
            {name: vgg[name].float() for name in names},
            tuple(channels[f"lin{level}.model.1.weight"].float() for level in range(len(LEVELS))),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise StudioError(f"{VGG_FILE} or {CHANNELS_FILE} is of another network: {error}.") from error
