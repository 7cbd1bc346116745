import cv2
import numpy as np
import pytest

from xray_generator.evaluation.image_quality import (
    STATISTICS,
    band_power,
    brightness,
    compare,
    compare_pairs,
    contrast,
    distribution_curve,
    entropy,
    power_spectra,
    sharpness,
    snr,
    spectral_distance,
    spectrum_curve,
)
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.measures import MEASURES
from xray_generator.types import StudioError

FLAT = np.full((64, 64), 0.5, np.float32)


def blurred(images: ImageSet, sigma: float = 1) -> ImageSet:
    return ImageSet("generated", np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in images.images]))


def test_sharpness_is_the_variance_of_the_laplacian_of_gray_levels() -> None:
    image = np.zeros((64, 64), np.float32)
    image[32, 32] = 1  # Laplacian: -4 * 255 once and 255 four times
    assert sharpness(image) == pytest.approx(255**2 * (16 + 4) / 64**2)
    assert sharpness(FLAT) == 0


def test_contrast_brightness_and_entropy_of_known_images() -> None:
    halves = np.repeat(np.array([[0.25, 0.75]], np.float32), 64, axis=0)
    assert (contrast(halves), brightness(halves), entropy(halves)) == (0.25, 0.5, 1)
    assert entropy(np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)) == 8
    assert entropy(FLAT) == 0


def test_a_distribution_counts_shares_of_each_side_over_one_scale() -> None:
    curve = distribution_curve("entropy", np.array([0.0, 0.1, 8.0]), np.array([8.0]), num_bins=4)
    assert curve.x == (1, 3, 5, 7) and (curve.x_label, curve.title) == ("bits", "Entropy")
    assert curve.lines["generated"] == pytest.approx((2 / 3, 0, 0, 1 / 3)) and curve.lines["real"] == (0, 0, 0, 1)


def test_snr_finds_the_noise_that_was_added_and_not_the_slope() -> None:
    slope = np.tile(np.linspace(0.2, 0.8, 256, dtype=np.float32), (256, 1))
    noise = np.random.default_rng(0).normal(0, 0.02, (256, 256)).astype(np.float32)
    assert snr(slope + noise) == pytest.approx(0.5 / 0.02, rel=0.05)
    assert snr(slope) > 5 * snr(slope + noise)
    assert np.isfinite([snr(FLAT), snr(FLAT * 0)]).all()


def test_a_wave_is_found_at_its_frequency_and_white_noise_is_flat() -> None:
    x = np.arange(64)
    wave = (0.5 + 0.4 * np.cos(2 * np.pi * 10 * x / 64)).astype(np.float32)
    assert power_spectra(np.tile(wave, (1, 64, 1))).argmax() == 10
    noise = np.random.default_rng(0).normal(0, 0.1, (200, 64, 64)).astype(np.float32)
    window = np.outer(np.hanning(64), np.hanning(64))
    expected = 0.1**2 * np.square(window).mean()
    np.testing.assert_allclose(power_spectra(noise).mean(axis=0)[2:], expected, rtol=0.1)


def test_the_spectral_distance_is_in_decibels() -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, (20, 64, 64)).astype(np.float32)
    x = power_spectra(noise)
    assert spectral_distance(x, x) == 0
    assert spectral_distance(x * 10, x) == pytest.approx(10, rel=0.01) == spectral_distance(x, x * 10)


def test_blur_lowers_sharpness_and_moves_the_spectrum(real: ImageSet) -> None:
    found = {m.measure: m for m in compare(blurred(real), real, np.random.default_rng(0), "x", "test")}
    assert found.keys() <= MEASURES.keys() and len(found) == 2 * len(STATISTICS) + 1
    for m in found.values():
        assert m.interval[0] <= m.value <= m.interval[1] and (m.condition, m.split) == ("x", "test")
    ratio, mean = found["sharpness_ratio"], found["sharpness"]
    assert ratio.value == pytest.approx(mean.value / mean.real) and ratio.interval[1] < 0.5
    assert 0.9 < found["brightness_ratio"].value < 1.1
    assert found["snr_ratio"].value > 1
    assert found["spectral_distance"].value > 3 * found["spectral_distance"].real


def test_real_images_beside_themselves_have_ratios_of_1(real: ImageSet) -> None:
    found = compare(real, real, np.random.default_rng(0))
    ratios = [m.value for m in found if m.measure.endswith("_ratio")]
    assert ratios == [1] * len(STATISTICS)


def test_where_there_is_no_number_there_is_a_reason(real: ImageSet) -> None:
    rng = np.random.default_rng(0)
    flat = ImageSet("flat", np.stack([FLAT] * 12))
    assert "uniform" in next(m.reason for m in compare(real, flat, rng) if m.measure == "sharpness_ratio")
    assert all(m.reason for m in compare(real.take([]), real, rng))
    few = compare(real.take([0, 1, 2]), real, rng)
    assert "5 images" in few[-1].reason and few[0].value is not None and few[0].interval is None


def test_pairs_have_their_error(real: ImageSet) -> None:
    some = real.take(range(12))
    shifted = ImageSet("shifted", some.images * 0.5 + 0.25)
    lighter = ImageSet("lighter", shifted.images + 0.1)
    found = {m.measure: m for m in compare_pairs(lighter, shifted, np.random.default_rng(0))}
    assert found.keys() <= MEASURES.keys()
    assert found["mse"].value == pytest.approx(0.01) and found["psnr"].value == pytest.approx(20)
    assert 0.8 < found["ssim"].value < 1 and found["ssim"].n == 12

    same = {m.measure: m for m in compare_pairs(some, some, np.random.default_rng(0))}
    assert (same["mse"].value, same["ssim"].value) == (0, 1) and "identical" in same["psnr"].reason
    assert all(m.reason for m in compare_pairs(some.take([]), some.take([]), np.random.default_rng(0)))
    with pytest.raises(StudioError, match="equally many"):
        compare_pairs(some, real, np.random.default_rng(0))


def test_the_spectrum_is_a_curve_a_set(real: ImageSet) -> None:
    curve = spectrum_curve(blurred(real), real)
    assert curve.x == tuple(range(1, 32)) and set(curve.lines) == {"generated", "real"}
    assert curve.lines["generated"][-1] < curve.lines["real"][-1] / 10


def test_band_power_is_relative_to_real_images_in_each_band() -> None:
    rng = np.random.default_rng(0)
    images = 0.5 + 0.05 * rng.standard_normal((24, 64, 64))
    real = ImageSet("real", images.astype(np.float32))
    halved = ImageSet("generated", (0.5 + (images - 0.5) / 2).astype(np.float32))
    found = band_power(halved, real, rng, ", from noise")
    assert [m.condition for m in found] == [
        f"{a} to {b} cycles, from noise" for a, b in ((2, 4), (4, 8), (8, 16), (16, 32))
    ]
    assert all(m.value == pytest.approx(0.25, rel=1e-3) for m in found)
