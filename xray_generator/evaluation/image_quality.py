"""Quality of single images, such as sharpness and noise, compared with real images; and MSE, PSNR, SSIM of pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import entropy as entropy_of

from xray_generator.evaluation.image_sets import ImageSet, groups, matched_splits
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.pair_measures import mse, psnr, ssim
from xray_generator.evaluation.records import Curve, Measurement
from xray_generator.images import to_uint8
from xray_generator.reference_encoder.bootstrap import Floats, interval, mean_interval
from xray_generator.types import Image, StudioError

ROUNDING = 1 / (12 * 255**2)  # variance of rounding to 8 bits: smaller values are noise
NOISE_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float64)
MIN_SPECTRA = 5  # images a side
BANDS = ((2, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 128))  # cycles an image: outline, heart, ribs, vessels


def sharpness(image: Image) -> float:
    """Variance of the 4-neighbor Laplacian of gray levels 0..255: Pech-Pacheco et al. 2000."""
    return float(cv2.Laplacian(to_uint8(image), cv2.CV_64F).var())


def contrast(image: Image) -> float:
    """Standard deviation of the pixels: root-mean-square contrast, Peli 1990."""
    return float(image.std(dtype=np.float64))


def brightness(image: Image) -> float:
    """Mean of the pixels."""
    return float(image.mean(dtype=np.float64))


def entropy(image: Image) -> float:
    """Shannon entropy of the 256 gray levels, in bits: 0 to 8."""
    return float(entropy_of(np.bincount(to_uint8(image).ravel(), minlength=256), base=2))


def snr(image: Image) -> float:
    """Mean brightness over the standard deviation of the noise as estimated by Immerkær 1996.

    sqrt(π / 2) / (6 (W - 2) (H - 2)) Σ |I * N|, at least that of rounding to 8 bits. N ignores slopes but not fine
    texture, so only the comparison with real images is meaningful.
    """
    response = cv2.filter2D(to_uint8(image) / 255, cv2.CV_64F, NOISE_MASK)[1:-1, 1:-1]
    noise = np.sqrt(np.pi / 2) / 6 * np.abs(response).mean()
    return brightness(image) / float(max(noise, ROUNDING**0.5))


STATISTICS: Mapping[str, Callable[[Image], float]] = MappingProxyType(
    {"sharpness": sharpness, "contrast": contrast, "brightness": brightness, "entropy": entropy, "snr": snr}
)


def statistics(images: NDArray[np.float32]) -> dict[str, Floats]:
    """Each of `STATISTICS` for each image: name -> (N,)."""
    return {name: np.array([of(image) for image in images]) for name, of in STATISTICS.items()}


def power_spectra(images: NDArray[np.float32]) -> Floats:
    """Radially averaged power |F(k)|² / (H W) of images minus their mean: (N, S // 2), k in cycles per image from 0.

    A Hann window suppresses the edges, which would add lines to the spectrum that no texture has.
    """
    _, height, width = images.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)) * min(height, width)
    ring, size = np.rint(radius).astype(np.intp).ravel(), min(height, width) // 2
    count = np.bincount(ring)[:size]
    spectra = [
        np.bincount(ring, (np.abs(np.fft.rfft2((image - brightness(image)) * window)) ** 2).ravel())[:size] / count
        for image in images
    ]
    return np.asarray(np.array(spectra).reshape(len(images), size) / (height * width))


def spectral_distance(x: Floats, y: Floats) -> float:
    """Log-spectral distance sqrt(mean_k (10 lg Px(k) / Py(k))²) in dB of mean spectra, Gray & Markel 1976.

    Args:
        x: power spectra (N, K).
        y: power spectra (M, K).
    """
    ratio = (x.mean(axis=0) + ROUNDING)[1:] / (y.mean(axis=0) + ROUNDING)[1:]  # the window leaks the mean into k = 0
    return float(np.sqrt(np.square(10 * np.log10(ratio)).mean()))


def compare(
    generated: ImageSet, real: ImageSet, rng: np.random.Generator, condition: str = "", split: str = ""
) -> list[Measurement]:
    """The mean of each statistic, its ratio to that of real images, and the spectral distance."""
    common: dict[str, Any] = {"condition": condition, "split": split}
    ours, theirs = statistics(generated.images), statistics(real.images)
    found = []
    for name in STATISTICS:
        found += _mean_and_ratio(name, ours[name], theirs[name], groups(real), rng, common)
    return [*found, _spectral(generated, real, rng, common)]


def band_power(
    generated: ImageSet, real: ImageSet, rng: np.random.Generator, origin: str = "", split: str = ""
) -> list[Measurement]:
    """Power of the generated images over that of the real ones in each of BANDS; `origin` is named in the condition."""
    ours, theirs = power_spectra(generated.images), power_spectra(real.images)
    found = []
    for low, high in BANDS:
        if high > ours.shape[1]:
            continue
        x, y = (spectra[:, low:high].mean(axis=1) for spectra in (ours, theirs))
        found.append(
            Measurement(
                "band_power",
                float(x.mean() / y.mean()),
                len(x),
                interval(lambda a, b: float(a.mean() / b.mean()), (x, y), rng, owners=(None, groups(real))),
                real_n=len(y),
                condition=f"{low} to {high} cycles{origin}",
                split=split,
            )
        )
    return found


def compare_pairs(
    outputs: ImageSet, targets: ImageSet, rng: np.random.Generator, condition: str = "", split: str = ""
) -> list[Measurement]:
    """MSE, PSNR and SSIM of output i against target i, for a data range of 1.

    SSIM as in Wang et al. 2004: a Gaussian window of sigma 1.5 and the uncorrected covariance.

    Raises:
        StudioError: outputs and targets differ in number or size.
    """
    if outputs.images.shape != targets.images.shape:
        raise StudioError(
            f"Pairs need equally many images of one size, not {outputs.images.shape} against {targets.images.shape}."
        )
    pairs = list(zip(outputs.images, targets.images, strict=True))
    common: dict[str, Any] = {"n": len(pairs), "condition": condition, "split": split}
    if not pairs:
        return [Measurement(name, None, reason="There are no pairs.", **common) for name in ("mse", "psnr", "ssim")]
    found = []
    for name, measure in (("mse", mse), ("ssim", ssim), ("psnr", psnr)):
        values = np.array([measure(a, b) for a, b in pairs])
        if np.isfinite(values).all():
            found.append(Measurement(name, float(values.mean()), interval=mean_interval(values, rng), **common))
        else:
            found.append(Measurement(name, None, reason="Some pairs are identical: PSNR has no bound.", **common))
    return found


def spectrum_curve(*sets: ImageSet) -> Curve:
    """The mean power spectrum of each set of equally sized images, without k = 0."""
    spectra = {images.name: power_spectra(images.images).mean(axis=0)[1:] for images in sets}
    x = tuple(float(k) for k in range(1, 1 + len(next(iter(spectra.values())))))
    lines: dict[str, tuple[float | None, ...]] = {name: tuple(values.tolist()) for name, values in spectra.items()}
    return Curve("Power spectrum", "cycles per image", "power", x, lines)


def distribution_curve(name: str, generated: Floats, real: Floats, num_bins: int = 40) -> Curve:
    """Histogram of a statistic over both sets: the share of images in each bin, over the centers of the bins."""
    edges = np.histogram_bin_edges(np.concatenate([generated, real]), num_bins)
    lines: dict[str, tuple[float | None, ...]] = {
        side: tuple((np.histogram(values, edges)[0] / max(len(values), 1)).tolist())
        for side, values in (("real", real), ("generated", generated))
    }
    centers = tuple(((edges[:-1] + edges[1:]) / 2).tolist())
    return Curve(MEASURES[name].title, MEASURES[name].unit or "value", "share of images", centers, lines)


def _mean_and_ratio(
    name: str, ours: Floats, theirs: Floats, owners: NDArray[np.str_], rng: np.random.Generator, common: dict[str, Any]
) -> list[Measurement]:
    counts: dict[str, Any] = {"n": len(ours), "real_n": len(theirs), **common}
    if not len(ours) or not len(theirs):
        reason = "There is no image on one side."
        return [Measurement(key, None, reason=reason, **counts) for key in (name, f"{name}_ratio")]
    mean, yardstick = float(ours.mean()), float(theirs.mean())
    measured = Measurement(name, mean, interval=mean_interval(ours, rng), real=yardstick, **counts)
    if not theirs.all():
        reason = "Some real images are uniform."
        return [measured, Measurement(f"{name}_ratio", None, reason=reason, **counts)]
    ends = interval(lambda a, b: float(a.mean() / b.mean()), (ours, theirs), rng, 1000, owners=(None, owners))
    return [measured, Measurement(f"{name}_ratio", mean / yardstick, interval=ends, **counts)]


def _spectral(generated: ImageSet, real: ImageSet, rng: np.random.Generator, common: dict[str, Any]) -> Measurement:
    splits = matched_splits(generated, real, rng)
    counts: dict[str, Any] = {"n": splits[0].size, "real_n": splits[0].size, **common}
    if splits[0].size < MIN_SPECTRA:
        reason = f"A mean spectrum needs {MIN_SPECTRA} images or more on each side, not {splits[0].size}."
        return Measurement("spectral_distance", None, reason=reason, **counts)
    x, y = power_spectra(generated.images), power_spectra(real.images)
    value = float(np.mean([spectral_distance(x[s.generated], y[s.real]) for s in splits]))
    floor = float(np.mean([spectral_distance(y[s.other], y[s.real]) for s in splits]))
    ends = interval(spectral_distance, (x[splits[0].generated], y[splits[0].real]), rng, center=value)
    return Measurement("spectral_distance", value, interval=ends, real=floor, **counts)
