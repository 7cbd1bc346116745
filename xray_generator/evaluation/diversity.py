"""How much the images of one condition differ from each other, compared with real images: MS-SSIM of pairs."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.records import Measurement
from xray_generator.reference_encoder.bootstrap import Interval, interval
from xray_generator.types import Image

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first: Wang et al. 2003, section 4.2
C1, C2 = 0.01**2, 0.03**2  # for a data range of 1
WINDOW, SIGMA = 11, 1.5
MIN_SIDE = WINDOW * 2 ** (len(WEIGHTS) - 1)  # the window fits the coarsest scale
MIN_IMAGES = 4


def ms_ssim(x: Image, y: Image) -> float:
    """Luminance of the coarsest scale times contrast and structure of all five: Wang et al. 2003, eq. 7; 1: identical.

    A negative structure has no real power and counts as 0.
    """
    product = 1.0
    for j, weight in enumerate(WEIGHTS):
        luminance, structure = _ssim_parts(x, y)
        last = j == len(WEIGHTS) - 1
        product *= max(float((luminance * structure if last else structure).mean()), 0.0) ** weight
        x, y = _half(x), _half(y)
    return product


def _ssim_parts(x: Image, y: Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Luminance, and contrast times structure, wherever the window fits: Wang et al. 2004, eq. 6 and 13."""

    def mean(z: NDArray[np.float64]) -> NDArray[np.float64]:
        edge = WINDOW // 2
        return np.asarray(cv2.GaussianBlur(z, (WINDOW, WINDOW), SIGMA), np.float64)[edge:-edge, edge:-edge]

    a, b = x.astype(np.float64), y.astype(np.float64)
    mu_a, mu_b = mean(a), mean(b)
    var_a, var_b, cov = mean(a * a) - mu_a**2, mean(b * b) - mu_b**2, mean(a * b) - mu_a * mu_b
    luminance = (2 * mu_a * mu_b + C1) / (mu_a**2 + mu_b**2 + C1)
    return luminance, (2 * cov + C2) / (var_a + var_b + C2)


def _half(x: Image) -> Image:
    h, w = x.shape[0] // 2, x.shape[1] // 2
    return np.asarray(x[: 2 * h, : 2 * w].reshape(h, 2, w, 2).mean(axis=(1, 3)))


def compare(
    generated: ImageSet,
    real: ImageSet,
    rng: np.random.Generator,
    condition: str = "",
    split: str = "",
    num_pairs: int = 200,
) -> Measurement:
    """Mean MS-SSIM over random pairs within each set. Sets of mixed conditions differ for that reason, too."""
    common: dict[str, Any] = {
        "n": len(generated),
        "real_n": len(real),
        "condition": condition,
        "split": split,
        "settings": {"pairs": num_pairs},
    }
    if min(generated.images.shape[1:]) < MIN_SIDE:
        reason = f"MS-SSIM needs images of {MIN_SIDE} pixels or more a side."
        return Measurement("ms_ssim", None, reason=reason, **common)
    if (size := min(len(generated), len(real))) < MIN_IMAGES:
        reason = f"Diversity needs {MIN_IMAGES} images or more on each side, not {size}."
        return Measurement("ms_ssim", None, reason=reason, **common)
    value, ends = _mean_over_pairs(generated.images, rng, num_pairs)
    yardstick, _ = _mean_over_pairs(real.images, rng, num_pairs)
    return Measurement("ms_ssim", value, interval=ends, real=yardstick, **common)


def _mean_over_pairs(
    images: NDArray[np.float32], rng: np.random.Generator, num_pairs: int
) -> tuple[float, Interval | None]:
    """The mean and its interval, resampling images: pairs that share an image are not independent."""
    first, second = np.triu_indices(len(images), 1)
    chosen = rng.permutation(len(first))[:num_pairs]
    first, second = first[chosen], second[chosen]
    values = np.array([ms_ssim(images[i], images[j]) for i, j in zip(first, second, strict=True)])

    def weighted(drawn: NDArray[np.float64]) -> float:
        times = np.bincount(drawn.astype(np.intp), minlength=len(images))
        weights = times[first] * times[second]
        return float((weights * values).sum() / weights.sum()) if weights.any() else float(values.mean())

    return float(values.mean()), interval(weighted, (np.arange(len(images), dtype=np.float64),), rng, 1000)
