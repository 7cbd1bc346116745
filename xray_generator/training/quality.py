"""How well images are given back: PSNR, SSIM and sharpness of pairs of images."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from scipy.ndimage import laplace
from skimage.metrics import structural_similarity

from xray_generator.checkpoints import Quality
from xray_generator.config import dump
from xray_generator.types import Image


def compare_pairs(pairs: Iterable[tuple[Image, Image]]) -> Quality | None:
    """The quality of (real, reconstructed) images in [0, 1]; None where there is no pair.

    PSNR in dB and SSIM are means over pairs; `sharpness_ratio` is the mean variance of the Laplacian of the
    reconstructions over that of the real images.
    """
    values = []
    for real, ours in pairs:
        psnr = -10 * math.log10(float(np.mean((real - ours) ** 2)) + 1e-12)
        ssim = float(structural_similarity(real, ours, data_range=1.0))
        values.append([psnr, ssim, float(laplace(ours).var()), float(laplace(real).var())])
    if not values:
        return None
    psnr, ssim, sharpness, real_sharpness = np.mean(values, axis=0).tolist()
    return Quality(len(values), psnr, ssim, sharpness / real_sharpness if real_sharpness > 0 else None)


def validation_values(quality: Quality | None) -> dict[str, float]:
    """What was measured, by name, as a training log holds it."""
    return {} if quality is None else {name: value for name, value in dump(quality).items() if value is not None}
