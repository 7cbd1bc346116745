"""Losses of detail: its local energy, which leaves open where each grain lies, and its dependence on a lattice."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from xray_generator.nn.grid import LATTICE

ENERGY_SCALES, ENERGY_WINDOW, ENERGY_FLOOR = 3, 7, 1e-5
LAPLACIAN = torch.tensor([[[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]])
# Vertical, horizontal and diagonal differences. The Laplacian answers most to a checkerboard of single pixels, which is
# then the cheapest detail to draw; here it stands out in a band of its own.
HAAR = torch.tensor([[[1.0, 1.0], [-1.0, -1.0]], [[1.0, -1.0], [1.0, -1.0]], [[1.0, -1.0], [-1.0, 1.0]]]) / 2


def local_energy(images: Tensor, kernels: Tensor = LAPLACIAN) -> list[Tensor]:
    """Root mean square about each position of images (B, 1, H, W) filtered by kernels (K, k, k).

    (B, K, h, w) for each of the images at 1, 1/2 and 1/4 of their side.
    """
    kernels, energies = kernels[:, None].to(images), []
    for _ in range(ENERGY_SCALES):
        squares = F.conv2d(images, kernels) ** 2
        means = F.avg_pool2d(squares, ENERGY_WINDOW, 2, ENERGY_WINDOW // 2, count_include_pad=False)
        energies.append((means + ENERGY_FLOOR).sqrt())
        images = F.avg_pool2d(images, 2)
    return energies


band_energy = partial(local_energy, kernels=HAAR)


def lattice_bias(errors: Tensor) -> Tensor:
    """How far errors (B, 1, H, W) depend on the place within 16 x 16 pixels: mean |mean over all cells of an image|.

    Images drawn by unfolding channels, from latents at 1/16 of the side or finer, can show a grid of that period or of
    a part of it. Real images have none, so that it stands out in the mean over cells.
    """
    return F.pixel_unshuffle(errors, LATTICE).mean(dim=(2, 3)).abs().mean()


def mean_l1(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    """Mean over pairs of their mean absolute difference; no gradient goes into the second ones."""
    return torch.stack([F.l1_loss(a, b.detach()) for a, b in zip(ours, theirs, strict=True)]).mean()
