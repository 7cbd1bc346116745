"""The cost figures, recomputed independently."""

from __future__ import annotations

import numpy as np
import pytest

from postprocess.cost import Cost, measure_cost
from xray_generator.images import to_uint8
from xray_generator.types import Image, StudioError


def test_an_unchanged_image_costs_nothing(chest: Image) -> None:
    cost = measure_cost(chest, chest)
    black, white = ((to_uint8(chest) == end).mean() for end in (0, 255))
    saturated = pytest.approx(black + white)
    assert cost == Cost(saturated, saturated, 0.0, 0.0, pytest.approx(1.0), black, white)  # type: ignore[arg-type]


def test_a_threshold_burns_out_everything(chest: Image) -> None:
    raw = np.clip(chest, 0.1, 0.9)
    cost = measure_cost(raw, np.asarray(raw > 0.5, np.float32))
    shares = np.bincount(to_uint8(raw).ravel()) / raw.size
    entropy = -sum(share * np.log2(share) for share in shares if share)
    white = (raw > 0.5).mean()
    after = -(white * np.log2(white) + (1 - white) * np.log2(1 - white))
    assert (cost.saturated_fraction, cost.raw_saturated_fraction, cost.newly_saturated_fraction) == (1.0, 0.0, 1.0)
    assert cost.entropy_change == pytest.approx(after - entropy)
    assert cost.ssim_to_raw < 0.5


def test_moved_saturation_is_counted_as_new() -> None:
    raw = np.full((16, 16), 0.5, np.float32)
    raw[:8] = 0.0
    assert measure_cost(raw, 1 - raw).white_fraction == 0.5
    cost = measure_cost(raw, np.ascontiguousarray(raw[::-1]))
    assert (cost.saturated_fraction, cost.raw_saturated_fraction, cost.newly_saturated_fraction) == (0.5, 0.5, 0.5)
    assert (cost.black_fraction, cost.white_fraction) == (0.5, 0.0)


def test_images_that_do_not_match_are_refused(chest: Image) -> None:
    with pytest.raises(StudioError, match="common height and width of 7"):
        measure_cost(chest, chest[:, :64])
    with pytest.raises(StudioError, match="NaN"):
        measure_cost(chest, np.full_like(chest, np.nan))
