"""The latent noise of an image beside the standard normal."""

import numpy as np
import pytest

from xray_generator.experiments.likelihoods import noise_curve, noise_image


def test_noise_is_drawn_in_standard_deviations_beside_the_bell_curve() -> None:
    noise = np.random.default_rng(0).standard_normal((128, 128)).astype(np.float32)
    noise[0, :2] = -9, 9
    image = noise_image(noise)
    assert image[0, 0] == 0 and image[0, 1] == 1 and image.mean() == pytest.approx(0.5, abs=0.01)
    curve = noise_curve(noise)
    width = curve.x[1] - curve.x[0]
    for values in curve.lines.values():
        assert sum(values) * width == pytest.approx(1, abs=1e-3)
    assert curve.lines["this image's noise"] == pytest.approx(curve.lines["standard normal"], abs=0.03)
