import numpy as np
import pytest

from xray_generator.evaluation.diversity import compare, ms_ssim
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.measures import MEASURES

Y, X = np.mgrid[:200, :192]
WAVES = (0.5 + 0.4 * np.sin(Y / 17) * np.cos(X / 11)).astype(np.float32)


def clouds(num: int, seed: int) -> np.ndarray:
    """Images that differ: smooth noise."""
    rng = np.random.default_rng(seed)
    return np.kron(rng.random((num, 11, 11)), np.ones((1, 16, 16))).astype(np.float32)


def test_ms_ssim_is_that_of_torchmetrics() -> None:
    grained = np.clip(WAVES * 0.8 + 0.1 * np.sin(Y * 1.7 + X), 0, 1).astype(np.float32)
    assert ms_ssim(WAVES, grained) == pytest.approx(0.86504215, abs=1e-6)  # torchmetrics 1.9.0, data_range=1.0
    assert ms_ssim(WAVES, WAVES) == 1
    assert ms_ssim(WAVES, 1 - WAVES) == 0  # negative structure


def test_repeated_images_are_similar_and_varied_ones_are_not() -> None:
    varied = ImageSet("real", clouds(12, 0))
    twins = ImageSet("generated", np.repeat(clouds(1, 1), 12, axis=0))
    found = compare(twins, varied, np.random.default_rng(0), "x", "test", num_pairs=20)
    assert found.measure in MEASURES
    assert found.value == pytest.approx(1) and found.real < 0.5
    same_kind = compare(ImageSet("generated", clouds(12, 2)), varied, np.random.default_rng(0), num_pairs=20)
    assert same_kind.value == pytest.approx(same_kind.real, abs=0.1)
    assert same_kind.interval[0] < same_kind.value < same_kind.interval[1]


def test_small_images_and_few_images_are_refused() -> None:
    few, many = ImageSet("few", clouds(3, 0)), ImageSet("many", clouds(6, 0))
    assert "4 images" in compare(few, many, np.random.default_rng(0)).reason
    small = ImageSet("small", many.images[:, :128, :128])
    assert "176 pixels" in compare(small, small, np.random.default_rng(0)).reason
