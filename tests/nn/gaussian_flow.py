"""The flow from noise to Gaussian data, whose every state is known in closed form."""

import math

import torch

MEAN, STD = -0.3, 0.4


def gaussian_field(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """E[noise - x_0 | x] where x_0 ~ N(MEAN, STD^2) in every pixel: linear in x."""
    variance = (1 - sigma) ** 2 * STD**2 + sigma**2
    slope = (sigma - (1 - sigma) * STD**2) / variance
    return slope * (x - (1 - sigma) * MEAN) - MEAN


def exact(noise: torch.Tensor, sigma: float = 0.0) -> torch.Tensor:
    """The state at sigma of the trajectory from `noise`: x(sigma) = (1 - sigma) MEAN + sqrt(variance) noise."""
    return (1 - sigma) * MEAN + math.sqrt((1 - sigma) ** 2 * STD**2 + sigma**2) * noise
