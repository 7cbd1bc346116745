"""The trajectory from noise: which states are shown, and its intensities, counted again."""

from itertools import pairwise

import numpy as np
import pytest

from xray_generator.checkpoints import IntensityHistogram
from xray_generator.dashboards.noise_path import ends_at, intensity_curve, states
from xray_generator.dicom.hounsfield import WINDOWS

PATH = tuple(np.random.default_rng(i).random((16, 16), np.float32) for i in range(13))
LUNG = WINDOWS["lung"]


@pytest.mark.parametrize(
    ("length", "count", "places"),
    [
        (13, 8, [0, 2, 3, 5, 7, 9, 10, 12]),
        (2, 8, [0, 1]),
        (5, 8, [0, 1, 2, 3, 4]),
        (201, 3, [0, 100, 200]),
    ],
)
def test_the_states_are_spread_evenly_with_both_ends(length: int, count: int, places: list[int]) -> None:
    path = [np.full((2, 2), i, np.float32) for i in range(length)]
    shown = states(path, count)
    assert [int(state.image[0, 0]) for state in shown] == places
    assert [state.sigma for state in shown] == pytest.approx([1 - place / (length - 1) for place in places])


def test_a_trajectory_is_matched_to_an_image_by_its_end() -> None:
    assert ends_at(PATH, PATH[-1]) and not ends_at(PATH, PATH[0])
    assert not ends_at(PATH, np.zeros((8, 8), np.float32))


def test_intensities_are_counted_in_the_bins_of_the_training_images() -> None:
    edges = np.linspace(0, 1, 5)
    training = IntensityHistogram(tuple(edges.tolist()), (0.1, 0.2, 0.3, 0.4), 7)
    curve = intensity_curve(PATH, training, LUNG)
    assert curve.x == pytest.approx(LUNG.level + LUNG.width * np.array([-0.375, -0.125, 0.125, 0.375]))
    assert curve.x_label == "HU" and curve.lines["real: 7 training images"] == (0.1, 0.2, 0.3, 0.4)
    for name, image in (("noise", PATH[0]), ("generated: this image", PATH[-1])):
        counted = [((image >= low) & (image < high)).mean() for low, high in pairwise(edges)]
        assert curve.lines[name] == pytest.approx(counted)


@pytest.mark.parametrize(
    "training",
    [
        None,
        IntensityHistogram((0, 1, 2), (1.0,), 1),
        IntensityHistogram((1, 0), (1.0,), 1),
        IntensityHistogram((), (), 0),
    ],
)
def test_unknown_or_inconsistent_training_intensities_are_not_drawn(training: IntensityHistogram | None) -> None:
    curve = intensity_curve(PATH, training, None)
    assert list(curve.lines) == ["noise", "generated: this image"] and len(curve.x) == 64
    assert sum(curve.lines["noise"]) == pytest.approx(1)
