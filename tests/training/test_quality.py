"""The quality of reconstructions, against values that are known."""

import numpy as np
import pytest

from xray_generator.training.quality import compare_pairs, validation_values


def test_quality_of_equal_and_of_flattened_images() -> None:
    real = np.random.default_rng(0).random((32, 32)).astype(np.float32)
    same = compare_pairs([(real, real), (real, real)])
    assert same is not None and same.num_images == 2
    assert (same.psnr_db, same.ssim, same.sharpness_ratio) == pytest.approx((120, 1, 1))
    flat = compare_pairs([(real, np.full_like(real, real.mean()))])
    assert flat is not None and flat.sharpness_ratio == pytest.approx(0, abs=1e-9)
    assert flat.psnr_db == pytest.approx(-10 * np.log10(real.var()), rel=1e-4)


def test_what_cannot_be_measured_is_left_out() -> None:
    assert compare_pairs([]) is None and validation_values(None) == {}
    blank = np.zeros((32, 32), np.float32)
    quality = compare_pairs([(blank, blank)])
    assert quality is not None and quality.sharpness_ratio is None
    assert set(validation_values(quality)) == {"num_images", "psnr_db", "ssim"}
