"""The difference map: its sign, its stated gain, and the files made of it."""

import io

import numpy as np
import pytest
from PIL import Image as PILImage

from xray_generator.dashboards.difference import comparison_strip, contact_sheet, difference
from xray_generator.types import NOTICE, StudioError

GRAY = np.full((32, 32), 0.5, np.float32)


def changed_by(amount: float) -> np.ndarray:
    """Brighter on the left quarter, darker on the right one."""
    image = GRAY.copy()
    image[:, :8] += np.float32(amount)
    image[:, -8:] -= np.float32(amount)
    return image


@pytest.mark.parametrize(("amount", "gain"), [(0.5, 2), (0.25, 4), (0.26, 2), (0.01, 16), (0.0, 16)])
def test_the_gain_is_the_largest_that_does_not_clip(amount: float, gain: int) -> None:
    assert difference(GRAY, changed_by(amount)).gain == gain


def test_brighter_is_red_darker_is_blue_and_equal_is_nearly_black() -> None:
    found = difference(GRAY, changed_by(0.25))
    red, blue, black = (found.map()[16, column] for column in (4, 28, 16))
    assert red[0] > red[2] + 0.2
    assert blue[2] > blue[0] + 0.2
    assert black.max() < 0.15
    assert np.isclose(found.mean_absolute, 0.125)
    assert found.signed[0, 0] > 0 > found.signed[0, -1]


def test_images_of_other_shapes_are_refused_in_words() -> None:
    with pytest.raises(StudioError, match="cannot be compared"):
        difference(GRAY, GRAY[:16])


def test_the_strip_holds_all_panels_and_says_that_it_is_synthetic() -> None:
    after = changed_by(0.25)
    panels = {"Before": GRAY, "After": after, "Difference": difference(GRAY, after).map()}
    file = PILImage.open(io.BytesIO(comparison_strip(panels, {"Description": NOTICE})))
    pixels = np.asarray(file)
    assert pixels.shape[1:] == (96, 3) and pixels.shape[0] > 32
    np.testing.assert_array_equal(pixels[:32, :32, 0], np.full((32, 32), 128))
    assert pixels[32:, :32].max() > 200  # the name below
    assert file.text["Description"] == NOTICE


def test_the_sheet_has_each_patient_after_below_before() -> None:
    pairs = [(np.full((32, 32), i / 8, np.float32), np.full((32, 32), i / 8 + 0.1, np.float32)) for i in range(3)]
    sheet = contact_sheet(pairs, 2, 16)
    assert sheet.shape == (64, 32)
    np.testing.assert_allclose(sheet[::16, ::16], [[0, 0.125], [0.1, 0.225], [0.25, 0], [0.35, 0]], atol=1e-6)
