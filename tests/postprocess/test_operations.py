"""Each operation against its formula, its range and its refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import cv2
import numpy as np
import pytest
from skimage.filters import gaussian

from postprocess.operations import Clahe, Equalize, Median, Operation, Sharpen, Vignette, Window
from xray_generator.images import to_uint8
from xray_generator.types import Image, StudioError

OPERATIONS: tuple[Operation, ...] = (
    Window(),
    Window(0.0, 0.1),
    Clahe(),
    Clahe(40.0, (3, 5)),
    Median(3),
    Median(5),
    Sharpen(5.0, 3.0),
    Equalize(),
    Equalize(0.3),
    Vignette(0.5),
)
RAMP_16: Image = np.linspace(0, 1, 65_536).astype(np.float32).reshape(256, 256)


def check_output(output: Image, shape: tuple[int, ...]) -> None:
    assert output.dtype == np.float32
    assert output.shape == shape
    assert np.isfinite(output).all()
    assert output.min() >= 0
    assert output.max() <= 1


@pytest.mark.parametrize("operation", OPERATIONS, ids=repr)
def test_keeps_range_shape_dtype_and_input(operation: Operation, chest: Image) -> None:
    image = np.ascontiguousarray(chest[:, :201])
    before = image.copy()
    output = operation(image)
    check_output(output, image.shape)
    assert np.array_equal(image, before)
    assert not np.shares_memory(output, image)


@pytest.mark.parametrize("operation", OPERATIONS, ids=repr)
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_image_stays_finite(operation: Operation, value: float) -> None:
    check_output(operation(np.full((40, 33), value, np.float32)), (40, 33))


@pytest.mark.parametrize("operation", OPERATIONS, ids=repr)
@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (5, 64)])
def test_small_and_oblong_images(operation: Operation, shape: tuple[int, int]) -> None:
    check_output(operation(np.random.default_rng(1).random(shape).astype(np.float32)), shape)


@pytest.mark.parametrize("operation", [Window(), Equalize(), Sharpen()], ids=repr)
def test_constant_image_is_unchanged(operation: Operation) -> None:
    image = np.full((32, 32), 0.25, np.float32)
    assert np.allclose(operation(image), image, atol=1e-6)


def test_window_is_the_dicom_sigmoid_on_the_images_own_percentiles(chest: Image) -> None:
    image = chest.astype(np.float64)
    low, high = np.quantile(image, [0.005, 0.995])
    sigmoid = 1 / (1 + np.exp(-4 * ((image - low) / (high - low) - 0.45) / 0.7))
    expected = 0.02 + 0.96 * (sigmoid - sigmoid.min()) / (sigmoid.max() - sigmoid.min())
    assert np.allclose(Window(0.45, 0.7)(chest), expected, atol=1e-5)


def test_window_does_not_depend_on_exposure(chest: Image) -> None:
    darker = chest * np.float32(0.4) + np.float32(0.1)
    assert np.allclose(Window()(darker), Window()(chest), atol=1e-4)


def test_window_of_an_image_with_few_bright_pixels() -> None:
    image = np.zeros((64, 64), np.float32)
    image[0, 0] = 1.0
    output = Window()(image)
    assert output[0, 0] == pytest.approx(0.98)
    assert output[1, 1] == pytest.approx(0.02)


@pytest.mark.parametrize(
    "operation", [Window(0.55, 1.0), Window(0.55, 0.65), Window(0.7, 0.75), Equalize(0.2)], ids=repr
)
def test_16_bit_levels_stay_distinct_and_in_order(operation: Operation) -> None:
    levels = operation(RAMP_16).ravel()
    assert (np.diff(levels) > 0).all()


def test_clahe_is_opencvs_8_bit_filter(chest: Image) -> None:
    expected = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(6, 4)).apply(to_uint8(chest))
    assert np.array_equal(to_uint8(Clahe(3.0, (6, 4))(chest)), expected)


def test_median_is_the_sorted_middle(chest: Image) -> None:
    assert Median(5)(chest)[100, 90] == np.sort(chest[98:103, 88:93], axis=None)[12]


def test_sharpen_is_the_unsharp_mask(chest: Image) -> None:
    inner = (slice(16, -16), slice(16, -16))
    blurred = gaussian(chest.astype(np.float64), sigma=1.5, truncate=5)  # type: ignore[no-untyped-call]
    expected = np.clip(chest + 0.8 * (chest - blurred), 0, 1)
    assert np.allclose(Sharpen(0.8, 1.5)(chest)[inner], expected[inner], atol=2e-3)
    assert np.allclose(Sharpen(0.0)(chest), chest, atol=1e-6)


def test_equalize_follows_the_share_of_pixels(chest: Image) -> None:
    levels = to_uint8(chest)
    share = np.cumsum(np.bincount(levels.ravel(), minlength=256)) / levels.size
    lowest = share[levels.min()]
    expected = (share[levels] - lowest) / (1 - lowest)
    assert np.abs(Equalize()(chest) - expected).max() < 1 / 255
    assert np.allclose(Equalize(0.4)(chest), 0.6 * chest + 0.4 * Equalize()(chest), atol=1e-6)


def test_vignette_darkens_the_corners_and_blacks_out_nothing() -> None:
    gain = Vignette(0.4)(np.ones((257, 129), np.float32))
    assert gain[128, 64] == pytest.approx(1.0)
    assert gain[128, 0] == pytest.approx(0.9, abs=0.01)
    assert gain[0, 0] == gain.min() == pytest.approx(0.6, abs=0.01)
    assert to_uint8(Vignette(0.5)(np.full((64, 64), 1 / 255, np.float32))).min() == 1


NAN = float("nan")


@pytest.mark.parametrize(
    ("make", "allowed"),
    [
        (lambda: Window(0.5, 0.0), "0.1 to 2"),
        (lambda: Window(NAN, 0.5), "0 to 1"),
        (lambda: Window("0.5"), "0 to 1"),  # type: ignore[arg-type]
        (lambda: Clahe(-1.0), "0.1 to 40"),
        (lambda: Clahe(0.0), "0.1 to 40"),
        (lambda: Clahe(NAN), "0.1 to 40"),
        (lambda: Clahe(2.0, (0, 8)), "1 to 32"),
        (lambda: Clahe(2.0, (8,)), "1 to 32"),  # type: ignore[arg-type]
        (lambda: Clahe(2.0, 8), "1 to 32"),  # type: ignore[arg-type]
        (lambda: Median(4), "3 or 5"),
        (lambda: Median(7), "3 or 5"),
        (lambda: Median(3.0), "3 or 5"),  # type: ignore[arg-type]
        (lambda: Sharpen(-0.1), "0 to 5"),
        (lambda: Sharpen(float("inf")), "0 to 5"),
        (lambda: Sharpen(1.0, 0.0), "0.3 to 10"),
        (lambda: Equalize(1.1), "0 to 1"),
        (lambda: Equalize(True), "0 to 1"),
        (lambda: Vignette(0.6), "0 to 0.5"),
    ],
)
def test_wrong_parameters_are_refused_with_the_allowed_range(make: Callable[[], Operation], allowed: str) -> None:
    with pytest.raises(StudioError, match=allowed):
        make()


@pytest.mark.parametrize("operation", OPERATIONS, ids=repr)
def test_scales_are_the_allowed_range_of_every_parameter(operation: Operation) -> None:
    assert set(operation.SCALES) == {field.name for field in fields(operation)} - {"kind"}
    for name, scale in operation.SCALES.items():

        def accept(value: float, name: str = name) -> None:
            values: dict[str, Any] = {name: (value, value) if name == "grid" else value}
            type(operation)(**values)

        accept(scale.low)
        accept(scale.high)
        for wrong in (scale.low - scale.step, scale.high + scale.step):
            with pytest.raises(StudioError):
                accept(wrong)
