"""Windows: the linear formula, its inverse, and errors for what is no window."""

import numpy as np
import pytest

from xray_generator.dicom.hounsfield import WINDOWS, Window, parse_window
from xray_generator.types import StudioError


def test_a_window_maps_hounsfield_units_linearly() -> None:
    hu = np.array([[-3000, -1350, -600, 150, 151, 3000]], np.float32)
    assert np.allclose(Window(-600, 1500).apply(hu), [[0, 0, 0.5, 1, 1, 1]], atol=1e-6)
    assert Window(-600, 1500).apply(hu).dtype == np.float32
    assert (WINDOWS["lung"].low, WINDOWS["lung"].high) == (-1350, 150)


@pytest.mark.parametrize("name", WINDOWS)
def test_invert_undoes_apply_inside_the_window(name: str) -> None:
    window = WINDOWS[name]
    hu = np.arange(window.low, window.high + 1, dtype=np.float32)[None]
    assert len(np.unique(window.apply(hu))) == hu.size  # more levels than 8 bits have
    assert np.abs(window.invert(window.apply(hu)) - hu).max() < 0.01
    assert np.allclose(window.invert(np.array([[0, 1]], np.float32)), [[window.low, window.high]])


@pytest.mark.parametrize("values", [(0, 0), (0, -1), (float("nan"), 1), (0, float("inf")), ("0", 1), (True, 1)])
def test_invalid_windows_are_refused(values: tuple[object, object]) -> None:
    with pytest.raises(StudioError, match="window must be"):
        Window(*values)  # type: ignore[arg-type]


def test_windows_are_parsed_from_names_and_numbers() -> None:
    assert parse_window("Lung") == WINDOWS["lung"] == parse_window("-600,1500")
    assert parse_window("50, 350.5") == Window(50, 350.5)
    assert parse_window("\u2212600,1500") == WINDOWS["lung"]  # a true minus, as texts have it
    for text in ("", "liver", "1", "1,2,3", "1,-2", "nan,5"):
        with pytest.raises(StudioError, match="window"):
            parse_window(text)
