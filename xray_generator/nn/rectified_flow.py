"""The straight way from data to noise: x = (1 - sigma) data + sigma noise (Liu et al. 2022, arXiv:2209.03003)."""

from __future__ import annotations

from torch import Tensor

MIN_SIGMA = 0.05  # of the divisor, or the velocity would have no limit at sigma 0


def velocity_of(x: Tensor, estimate: Tensor, sigma: Tensor) -> Tensor:
    """The velocity noise - data that follows from an estimate of the data: (x - estimate) / max(sigma, 0.05).

    x and estimate are (B, C, H, W), sigma (B,). Noise fills all dimensions of a position, data few, so that a narrow
    network can estimate the second and not the first (Li & He 2025, arXiv:2511.13720).
    """
    return (x - estimate) / sigma.clamp(min=MIN_SIGMA)[:, None, None, None]
