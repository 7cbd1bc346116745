"""What latents are like: white noise teaches nothing, a fragile decoder loses much."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.latents import linear_v_error, measure_fragility, measure_learnability


def test_white_latents_teach_a_linear_denoiser_nothing_and_smooth_ones_much() -> None:
    rng = np.random.default_rng(0)
    white = rng.normal(size=(400, 2, 16, 16))
    smooth = gaussian_filter(white, (0, 0, 2, 2), mode="wrap")
    smooth /= smooth.std()
    assert linear_v_error(white) == pytest.approx(1, abs=0.01)
    assert linear_v_error(smooth) < 0.5 < linear_v_error(gaussian_filter(white, (0, 0, 0.5, 0.5)) * 1.6)


class Scaling:
    """Latents are the images; decoding takes noise in with a factor."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def encode(self, images: torch.Tensor, _label: str | None = None) -> torch.Tensor:
        return images

    def decode(self, latents: torch.Tensor, _label: str | None = None) -> torch.Tensor:
        mean = latents.mean(dim=(2, 3), keepdim=True)
        return mean + 0.99 * (latents - mean) + self.factor * (latents - latents.roll(1, 2))

    def diffusion_latents(self, images: torch.Tensor) -> torch.Tensor:
        return (images - images.mean()) / images.std()

    def predict(self, _latents: torch.Tensor, noise: torch.Tensor, _level: float, prompt: str) -> torch.Tensor:
        return noise * (1 + 0.1 * len(prompt))


@pytest.fixture
def ramps() -> ImageSet:
    rows = np.linspace(0.2, 0.8, 32)[None, None] * np.linspace(0.5, 1, 24)[:, None, None]
    return ImageSet("real", np.broadcast_to(rows, (24, 32, 32)).astype(np.float32))


def test_a_decoder_that_amplifies_errors_loses_more(ramps: ImageSet) -> None:
    def lost(factor: float) -> float:
        found = measure_fragility(Scaling(factor), ramps, np.random.default_rng(0), "val")
        assert found.value is not None
        return found.value

    assert 0 < lost(0.0) < lost(1.0)


def test_learnability_is_of_the_latents_that_the_denoiser_sees(ramps: ImageSet) -> None:
    found = measure_learnability(Scaling(0.0), ramps, "val")
    assert (found.measure, found.n, found.split) == ("linear_v_error", 24, "val")
    assert found.value is not None and found.value < 0.9
