"""Measures of pairs: identical images, known orders, and figures of the reference implementation."""

import cv2
import numpy as np
import pytest

from xray_generator.evaluation.pair_measures import PAIR_MEASURES, average_gradient, dssim, fsim, phase_congruency, vif
from xray_generator.types import Image

FSIM_PIQ, VIF_PIQ = 0.80640, 0.37854  # of `blurred(1.5)`


def scene(size: int = 96) -> Image:
    """A bright disk with a dark bar, on a slope."""
    y, x = np.mgrid[:size, :size] / size
    image = 0.2 + 0.2 * x
    image[np.hypot(y - 0.5, x - 0.5) < 0.3] = 0.8
    image[round(0.45 * size) : round(0.55 * size), round(0.3 * size) : round(0.7 * size)] = 0.1
    return np.asarray(image, np.float32)


def blurred(sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(scene(), (0, 0), sigma), np.float32)


def test_an_image_is_like_itself() -> None:
    image = scene()
    assert fsim(image, image) == 1 and dssim(image, image) == 0
    assert vif(image, image) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", PAIR_MEASURES)
def test_more_blur_is_worse_in_every_measure(name: str) -> None:
    values = [PAIR_MEASURES[name](blurred(sigma), scene()) for sigma in (0.5, 1.0, 2.0, 4.0)]
    assert values == sorted(values, reverse=name != "dssim")
    assert np.isfinite(values).all()


def test_the_average_gradient_of_a_slope_is_known() -> None:
    slope = np.tile(np.linspace(0, 1, 52, dtype=np.float32), (20, 1))  # 5 gray levels a pixel
    assert average_gradient(slope, slope) == pytest.approx(5 / 2**0.5, abs=1e-4)


def test_phase_congruency_marks_lines_and_edges_alike_whatever_their_contrast() -> None:
    image = scene().astype(np.float64) * 255
    strong, weak = phase_congruency(image), phase_congruency(100 + image / 4)
    assert strong.min() >= 0 and strong.max() <= 1
    assert strong[48, 16:22].max() > 0.5 > strong[8:16, 8:16].max()  # the disk's border; the slope
    assert abs(float(strong.max() - weak.max())) < 0.1


def test_figures_are_those_of_the_reference_implementation() -> None:
    """Of piq 0.8.0 (fsim without color, vif_p) on the same images, computed once."""
    assert fsim(blurred(1.5), scene()) == pytest.approx(FSIM_PIQ, abs=2e-4)
    assert vif(blurred(1.5), scene()) == pytest.approx(VIF_PIQ, abs=2e-4)
