"""How much detail an image has, place by place: a loss that wants it there without saying where each grain lies."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from xray_generator.nn.grid import LATTICE

ENERGY_SCALES, ENERGY_WINDOW, ENERGY_FLOOR = 3, 7, 1e-5


def local_energy(images: Tensor) -> list[Tensor]:
    """The Laplacian's root mean square about each position of images (B, 1, H, W), at 1, 1/2 and 1/4 of the side."""
    kernel = torch.tensor([[[[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]]]).to(images)
    energies = []
    for _ in range(ENERGY_SCALES):
        squares = F.avg_pool2d(
            F.conv2d(images, kernel) ** 2, ENERGY_WINDOW, 2, ENERGY_WINDOW // 2, count_include_pad=False
        )
        energies.append((squares + ENERGY_FLOOR).sqrt())
        images = F.avg_pool2d(images, 2)
    return energies


def band_energy(images: Tensor) -> list[Tensor]:
    """The root mean square of each Haar band about each position of images (B, 1, H, W), at 1, 1/2 and 1/4 of the side.

    (B, 3, h, w) a scale: of vertical, horizontal and diagonal differences apart. The Laplacian answers most to a
    checkerboard of single pixels, which is then the cheapest detail to draw; here it stands out in a band of its own.
    """
    kernel = torch.tensor([[[1.0, 1.0], [-1.0, -1.0]], [[1.0, -1.0], [1.0, -1.0]], [[1.0, -1.0], [-1.0, 1.0]]])
    kernel = kernel[:, None].to(images) / 2
    energies = []
    for _ in range(ENERGY_SCALES):
        squares = F.avg_pool2d(
            F.conv2d(images, kernel) ** 2, ENERGY_WINDOW, 2, ENERGY_WINDOW // 2, count_include_pad=False
        )
        energies.append((squares + ENERGY_FLOOR).sqrt())
        images = F.avg_pool2d(images, 2)
    return energies


def lattice_bias(errors: Tensor) -> Tensor:
    """How far errors (B, 1, H, W) depend on the place within 16 x 16 pixels: mean |mean over all cells of an image|.

    What is drawn by unfolding channels, from latents at 1/16 of the side or finer, can show a grid of that period
    or a part of it, and of no longer one. Images have none, so that in the mean over cells it stands out.
    """
    return F.pixel_unshuffle(errors, LATTICE).mean(dim=(2, 3)).abs().mean()


def mean_l1(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    """Mean over pairs of their mean absolute difference; the second ones are not trained."""
    return torch.stack([F.l1_loss(a, b.detach()) for a, b in zip(ours, theirs, strict=True)]).mean()
