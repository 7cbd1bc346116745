"""What latents are like for a denoiser: how much of them can be learned, and how much error they bear."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy.fft import dctn
from torch import Tensor

from xray_generator.abilities import Autoencoding, Predicting
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.records import Measurement
from xray_generator.images import to_tensor
from xray_generator.reference_encoder.bootstrap import Floats, mean_interval

ANGLES = np.pi / 16 * np.arange(1, 8)  # arctan(sigma / alpha) of seven noise levels
NOISE = 0.2  # standard deviations of a channel
BATCH = 16


def linear_v_error(latents: Floats) -> float:
    """The relative error of v left by the best linear denoiser of each frequency, mean over seven noise levels.

    From the power p of each coefficient of the cosine transform: with x = alpha x_0 + sigma e and v = alpha e -
    sigma x_0 it is (alpha^2 + sigma^2 p - (alpha sigma (1 - p))^2 / (alpha^2 p + sigma^2)), over all coefficients,
    divided by the power of v. For white latents (p = 1) it is 1: nothing can be learned but by what is not Gaussian.

    Args:
        latents: (N, D, h, w) of unit variance, as the denoiser sees them.
    """
    centered = latents - latents.mean(axis=(0, 2, 3), keepdims=True)
    power = np.square(dctn(centered, axes=(2, 3), norm="ortho")).mean(axis=0)
    errors = []
    for alpha, sigma in zip(np.cos(ANGLES), np.sin(ANGLES), strict=True):
        variance = alpha**2 + sigma**2 * power
        explained = (alpha * sigma * (1 - power)) ** 2 / (alpha**2 * power + sigma**2)
        errors.append((variance - explained).sum() / variance.sum())
    return float(np.mean(errors))


@torch.inference_mode()
def measure_learnability(engine: Predicting, real: ImageSet, split: str) -> Measurement:
    """`linear_v_error` of a denoiser's latents of real images."""
    latents = [engine.diffusion_latents(batch).float().cpu() for batch in _batches(real)]
    return Measurement("linear_v_error", linear_v_error(torch.cat(latents).double().numpy()), len(real), split=split)


@torch.inference_mode()
def measure_fragility(engine: Autoencoding, real: ImageSet, rng: np.random.Generator, split: str) -> Measurement:
    """The PSNR in dB that reconstructions lose by noise of 0.2 standard deviations on each channel of the latents.

    The noise is drawn from `rng`. Of a model with classes each image is encoded without one.
    """
    latents = torch.cat([engine.encode(batch) for batch in _batches(real)])
    noise = torch.from_numpy(rng.standard_normal(latents.shape, np.float32)).to(latents)
    noisy = latents + NOISE * latents.std(dim=(0, *range(2, latents.ndim)), keepdim=True) * noise
    lost = _psnr(engine, latents, real) - _psnr(engine, noisy, real)
    common: dict[str, Any] = {"split": split, "settings": {"noise": NOISE}}
    return Measurement("latent_fragility", float(lost.mean()), len(real), mean_interval(lost, rng), **common)


def _batches(images: ImageSet) -> list[Tensor]:
    return [to_tensor(images.images[start : start + BATCH]) for start in range(0, len(images), BATCH)]


def _psnr(engine: Autoencoding, latents: Tensor, real: ImageSet) -> Floats:
    copies = torch.cat([engine.decode(part).float().cpu() for part in torch.split(latents, BATCH)])
    errors = ((copies - torch.cat(_batches(real))) / 2).square().mean(dim=(1, 2, 3)).clamp(min=1e-12)
    return np.asarray(-10 / math.log(10) * errors.log().double().numpy())
