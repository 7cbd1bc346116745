"""Fitting a square: the aspect ratio is kept, the padding is known."""

import numpy as np
import pytest

from xray_generator.data.fitting import fit_square
from xray_generator.types import StudioError


@pytest.mark.parametrize(
    ("shape", "size", "box"),
    [
        ((100, 50), 64, (0, 16, 64, 32)),
        ((50, 100), 64, (16, 0, 32, 64)),
        ((64, 64), 64, (0, 0, 64, 64)),
        ((30, 20), 64, (0, 10, 64, 43)),
        ((1000, 3), 32, (0, 15, 32, 1)),
    ],
)
def test_content_keeps_its_shape_in_the_middle(
    shape: tuple[int, int], size: int, box: tuple[int, int, int, int]
) -> None:
    image = np.random.default_rng(0).random(shape, np.float32)
    fitted = fit_square(image, size)
    assert (fitted.top, fitted.left, fitted.height, fitted.width) == box
    assert fitted.image.shape == (size, size) and fitted.image.dtype == np.float32
    assert fitted.image.min() >= 0 and fitted.image.max() <= 1
    mask = fitted.mask()
    assert mask.dtype == np.float32 and set(np.unique(mask)) <= {0.0, 1.0}
    assert mask.sum() == fitted.height * fitted.width
    assert mask[fitted.top : fitted.top + fitted.height, fitted.left : fitted.left + fitted.width].all()
    padding = fitted.image[mask == 0]
    assert padding.size == 0 or (padding == padding[0]).all()


def test_scaling_down_is_by_area_and_padding_is_the_mean_edge() -> None:
    image = np.zeros((8, 16), np.float32)
    image[:, 8:] = 1.0
    fitted = fit_square(image, 8)
    assert np.array_equal(fitted.image[2:6], np.repeat([[0.0] * 4 + [1.0] * 4], 4, axis=0))
    assert fitted.image[0] == pytest.approx(0.5)  # 10 dark and 10 bright pixels on the edge


def test_square_of_the_right_size_is_untouched() -> None:
    image = np.random.default_rng(1).random((20, 20), np.float32)
    assert np.array_equal(fit_square(image, 20).image, image)


def test_size_below_one_pixel_is_refused() -> None:
    with pytest.raises(StudioError, match="1 pixel or more"):
        fit_square(np.zeros((4, 4), np.float32), 0)
