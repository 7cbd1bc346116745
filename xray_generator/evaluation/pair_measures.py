"""Measures of an image against its target: its errors, and what is lost of edges, detail and information.

All take images (H, W) in [0, 1] of one size, the output first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from xray_generator.types import Image

Floats = NDArray[np.float64]
SCALES, ORIENTATIONS = 4, 4  # of the log-Gabor filters
SHORTEST_WAVE, RATIO, BANDWIDTH = 6.0, 2.0, 0.55  # pixels; from scale to scale; std of the log over the frequency
ANGULAR_WIDTH = math.pi / ORIENTATIONS / 1.2
NOISE_DEVIATIONS, NOISE_SHARE = 2.0, 1.7  # of the energy that noise alone would have
CUTOFF, SHARPNESS = 0.45, 15  # of the low-pass filter (Butterworth)
PHASE_CONSTANT, GRADIENT_CONSTANT = 0.85, 160.0  # T1 and T2, gray levels 0..255
SMALL = 1e-4
VIF_SIDE = 41  # the least, of four scales


def mse(output: Image, target: Image) -> float:
    """Mean squared error of gray from 0 to 1."""
    return float(np.square(output - target, dtype=np.float64).mean())


def psnr(output: Image, target: Image) -> float:
    """Peak signal-to-noise ratio in dB; infinite for identical images."""
    error = mse(output, target)
    return -10 * math.log10(error) if error else math.inf


def dssim(output: Image, target: Image) -> float:
    """Structural dissimilarity (1 - SSIM) / 2: 0 is identical."""
    return (1 - ssim(output, target)) / 2


def ssim(output: Image, target: Image) -> float:
    """As in Wang et al. 2004: a Gaussian window of sigma 1.5 and the uncorrected covariance."""
    options: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(structural_similarity(output, target, data_range=1.0, **options))


def average_gradient(output: Image, _target: Image) -> float:
    """Mean of sqrt((dx^2 + dy^2) / 2) of gray levels 0..255: how much detail the output shows, true or not."""
    gray = np.asarray(output, np.float64) * 255
    across, down = np.diff(gray, axis=1)[:-1], np.diff(gray, axis=0)[:, :-1]
    return float(np.sqrt((across**2 + down**2) / 2).mean())


def vif(output: Image, target: Image) -> float:
    """Visual information fidelity in the pixel domain (Sheikh & Bovik 2006), by torchmetrics: 1 is identical.

    For images of at least VIF_SIDE pixels a side.
    """
    import torch  # as what follows slow to import, and pages measure images too
    from torchmetrics.functional.image import visual_information_fidelity

    ours, theirs = (torch.from_numpy(np.asarray(image, np.float64) * 255)[None, None] for image in (output, target))
    return float(visual_information_fidelity(ours, theirs))


def fsim(output: Image, target: Image) -> float:
    """Feature similarity of gray images (Zhang et al. 2011, doi:10.1109/TIP.2011.2109730, eq. 7): 1 is identical."""
    ours, theirs = (_shrink(np.asarray(image, np.float64) * 255) for image in (output, target))
    phase, other = phase_congruency(ours), phase_congruency(theirs)
    similarity = _similarity(phase, other, PHASE_CONSTANT)
    similarity *= _similarity(_scharr(ours), _scharr(theirs), GRADIENT_CONSTANT)
    weight = np.maximum(phase, other)
    return float((similarity * weight).sum() / max(weight.sum(), SMALL))


def _similarity(x: Floats, y: Floats, constant: float) -> Floats:
    return (2 * x * y + constant) / (x**2 + y**2 + constant)


def _shrink(gray: Floats) -> Floats:
    """To about 256 pixels a side by means over squares, as the authors do."""
    factor = max(1, round(min(gray.shape) / 256))
    blurred = cv2.blur(gray, (factor, factor), borderType=cv2.BORDER_CONSTANT) if factor > 1 else gray
    return np.asarray(blurred[::factor, ::factor])


def _scharr(gray: Floats) -> Floats:
    options: dict[str, Any] = {"scale": 1 / 16, "borderType": cv2.BORDER_CONSTANT}
    across, down = cv2.Scharr(gray, cv2.CV_64F, 1, 0, **options), cv2.Scharr(gray, cv2.CV_64F, 0, 1, **options)
    return np.asarray(np.hypot(across, down))


def phase_congruency(gray: Floats) -> Floats:
    """(H, W) from 0 to 1: how far waves of all lengths agree in phase, as at edges and lines (Kovesi 1999)."""
    spectrum, energy, amplitude = np.fft.fft2(gray), np.zeros(gray.shape), np.zeros(gray.shape)
    for filters in _log_gabor(gray.shape):
        responses = np.array([np.fft.ifft2(spectrum * one) for one in filters])
        total = responses.sum(axis=0)
        direction = total / (np.abs(total) + SMALL)
        turned = responses * direction.conj()
        in_phase = (turned.real - np.abs(turned.imag)).sum(axis=0)
        energy += np.maximum(in_phase - _noise_energy(responses[0], filters), 0)
        amplitude += np.abs(responses).sum(axis=0)
    return energy / np.maximum(amplitude, SMALL)


def _log_gabor(shape: tuple[int, ...]) -> list[Floats]:
    """For each orientation the filters (SCALES, H, W) in the frequency domain, the shortest wave first."""
    down, across = np.meshgrid(*(np.fft.fftfreq(side) for side in shape), indexing="ij")
    radius, angle = np.hypot(across, down), np.arctan2(-down, across)
    radius[0, 0] = 1
    low_pass = 1 / (1 + (radius / CUTOFF) ** (2 * SHARPNESS))
    rings = []
    for scale in range(SCALES):
        wave = SHORTEST_WAVE * RATIO**scale
        ring = np.exp(-(np.log(radius * wave) ** 2) / (2 * math.log(BANDWIDTH) ** 2)) * low_pass
        ring[0, 0] = 0
        rings.append(ring)
    sectors = []
    for place in range(ORIENTATIONS):
        apart = np.abs(np.angle(np.exp(1j * (angle - place * math.pi / ORIENTATIONS))))
        sectors.append(np.exp(-(apart**2) / (2 * ANGULAR_WIDTH**2)))
    return [np.array(rings) * sector for sector in sectors]


def _noise_energy(finest: NDArray[np.complex128], filters: Floats) -> float:
    """What the energy of noise alone rarely exceeds, its power taken from the responses at the finest scale."""
    power = float(np.median(np.abs(finest) ** 2)) / math.log(2) / float((filters[0] ** 2).sum())
    kernel = np.fft.ifft2(filters.sum(axis=0)).real
    tau = math.sqrt(power * kernel.size * float((kernel**2).sum()))
    return (tau * math.sqrt(math.pi / 2) + NOISE_DEVIATIONS * tau * math.sqrt(2 - math.pi / 2)) / NOISE_SHARE


PAIR_MEASURES: Mapping[str, Callable[[Image, Image], float]] = MappingProxyType(
    {"dssim": dssim, "fsim": fsim, "vif": vif, "average_gradient": average_gradient}
)


def pair_measures(size: int) -> dict[str, Callable[[Image, Image], float]]:
    """Those of `PAIR_MEASURES` that images of `size` pixels a side can be given: VIF needs 41."""
    return {name: measure for name, measure in PAIR_MEASURES.items() if name != "vif" or size >= VIF_SIDE}
