"""A feature space without a network: 46 statistics of brightness, texture and detail, as in radiomics software.

Haralick et al. 1973 for the co-occurrence of gray levels, Ojala et al. 2002 for local binary patterns; the rest are
moments and quantiles, and the energy of Haar wavelets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern

from xray_generator.images import to_uint8
from xray_generator.types import Image, StudioError

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
GRAY_LEVELS = 32
OFFSETS = (1, 4)  # pixels
ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)  # averaged: texture has no preferred direction
TEXTURES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation")
PATTERN_POINTS = 8  # on a circle of radius 1: 10 uniform patterns, of which the last follows from the others
WAVELET_LEVELS = 4
DIRECTIONS = ("horizontal", "vertical", "diagonal")
ROUNDING = 1 / (12 * 255**2)  # variance of rounding to 8 bits: less energy is noise

NAMES = (
    "mean",
    "deviation",
    "skewness",
    "kurtosis",
    "entropy",
    *(f"quantile {q:g}" for q in QUANTILES),
    *(f"{texture} at {offset}" for texture in TEXTURES for offset in OFFSETS),
    *(f"pattern {i}" for i in range(PATTERN_POINTS + 1)),
    *(f"{direction} wavelet {level}" for level in range(1, WAVELET_LEVELS + 1) for direction in DIRECTIONS),
    "gradient mean",
    "gradient deviation",
    "left to right",
    "top to bottom",
    "middle to border",
)
MIN_SIDE = 2**WAVELET_LEVELS


def radiomics(image: Image) -> NDArray[np.float64]:
    """The statistics of `NAMES` for one image (H, W) in [0, 1]; StudioError where a side is below 16 pixels."""
    if min(image.shape) < MIN_SIDE:
        raise StudioError(f"Radiomics needs {MIN_SIDE} pixels or more a side, not {image.shape[1]}x{image.shape[0]}.")
    levels = to_uint8(image)
    parts = (_first_order(image, levels), _co_occurrence(levels), _patterns(levels), _wavelets(image), _layout(image))
    return np.concatenate(parts)


def _first_order(image: Image, levels: NDArray[np.uint8]) -> NDArray[np.float64]:
    mean, deviation = float(image.mean(dtype=np.float64)), float(image.std(dtype=np.float64))
    z = (image - mean) / max(deviation, ROUNDING**0.5)
    squares = z * z
    shares = np.bincount(levels.ravel(), minlength=256) / levels.size
    entropy = entr(shares).sum() / np.log(2)  # scipy.stats.entropy takes longer than all else here
    moments = [mean, deviation, (squares * z).mean(), np.square(squares).mean(), entropy]
    return np.array([*moments, *np.quantile(image, QUANTILES)])


def _co_occurrence(levels: NDArray[np.uint8]) -> NDArray[np.float64]:
    matrix = graycomatrix(levels // (256 // GRAY_LEVELS), OFFSETS, ANGLES, GRAY_LEVELS, symmetric=True, normed=True)
    return np.concatenate([graycoprops(matrix, texture).mean(axis=1) for texture in TEXTURES])


def _patterns(levels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Shares of the uniform patterns except the last."""
    patterns = local_binary_pattern(levels, PATTERN_POINTS, 1, "uniform").astype(np.intp)
    return np.asarray(np.bincount(patterns.ravel(), minlength=PATTERN_POINTS + 2)[:-1] / patterns.size)


def _wavelets(image: Image) -> NDArray[np.float64]:
    """Log energy of the orthonormal Haar coefficients, per level and direction."""
    energies = []
    rest = image.astype(np.float64)
    for _ in range(WAVELET_LEVELS):
        rest = rest[: len(rest) // 2 * 2, : rest.shape[1] // 2 * 2]
        a, b, c, d = rest[::2, ::2], rest[::2, 1::2], rest[1::2, ::2], rest[1::2, 1::2]
        details = (a - b + c - d, a + b - c - d, a - b - c + d)
        energies += [np.log(np.square(detail / 2).mean() + ROUNDING) for detail in details]
        rest = (a + b + c + d) / 2
    return np.array(energies)


def _layout(image: Image) -> NDArray[np.float64]:
    """Gradients, and differences in brightness: left to right, top to bottom, middle to border."""
    down, right = np.gradient(image)
    slope = np.hypot(down, right)
    h, w = image.shape
    middle = image[h // 4 : h - h // 4, w // 4 : w - w // 4]
    border = (image.sum() - middle.sum()) / (image.size - middle.size)
    sides = (image[:, : w // 2].mean() - image[:, w // 2 :].mean(), image[: h // 2].mean() - image[h // 2 :].mean())
    return np.array([slope.mean(), slope.std(), *sides, middle.mean() - border], np.float64)
