"""What a manifest tells of likelihoods, and the noise of an image beside chance."""

import numpy as np
import pytest

from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.likelihoods import classifiers, known, noise_curve, noise_picture, num_above

MEASURED = {
    "train": {"bits_per_dimension": 2.0, "standard_error": 0.1, "num_images": 3, "values": [1.0, 2.0, 3.0]},
    "test": {"bits_per_dimension": 2.5, "standard_error": 0.2, "num_images": 4},
}


def manifest(metrics: dict) -> Manifest:
    recommended = {"scheduler": "heun", "num_inference_steps": 2, "guidance_scale": 1.0}
    return Manifest(
        "flow_matching", "x", {}, {}, {}, "", "", {}, recommended, (32,), metrics=metrics, schedulers=("heun",)
    )


def test_single_values_and_means_are_read_as_far_as_they_are_there() -> None:
    found = known(manifest({"likelihood": MEASURED, "likelihood_references": {"blank": 1.5, "other": None}}))
    assert found.splits == {"train": (1.0, 2.0, 3.0), "test": ()}
    assert found.means == {"train": "2.000 ± 0.100, n = 3", "test": "2.500 ± 0.200, n = 4"}
    assert found.references == {"blank": 1.5}


@pytest.mark.parametrize("metrics", [{}, {"likelihood": None}, {"likelihood": {"test": {}}}, {"likelihood": [1]}])
def test_nothing_is_made_up(metrics: dict) -> None:
    found = known(manifest(metrics))
    assert not any(found.splits.values()) and not found.means and not found.references
    assert classifiers(manifest(metrics)) == bool(metrics)


def test_less_probable_slices_are_counted() -> None:
    assert num_above(2.0, (1.0, 2.0, 3.0, 4.0)) == 2
    assert num_above(2.0, ()) == 0


def test_noise_is_drawn_in_standard_deviations_beside_the_bell_curve() -> None:
    noise = np.random.default_rng(0).standard_normal((128, 128)).astype(np.float32)
    noise[0, :2] = -9, 9
    picture = noise_picture(noise)
    assert picture[0, 0] == 0 and picture[0, 1] == 1 and picture.mean() == pytest.approx(0.5, abs=0.01)
    curve = noise_curve(noise)
    width = curve.x[1] - curve.x[0]
    for values in curve.lines.values():
        assert sum(values) * width == pytest.approx(1, abs=1e-3)
    assert curve.lines["this image's noise"] == pytest.approx(curve.lines["standard normal"], abs=0.03)
