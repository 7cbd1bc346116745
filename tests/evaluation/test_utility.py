"""Utility of made-up generators: as good as real, useless, and a control that must be at chance."""

import numpy as np
import pytest

from tests.evaluation.patterns import films, rows
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.records import Measurement
from xray_generator.evaluation.utility import describe, measure_utility

N = 120


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def real(rng: np.random.Generator) -> ImageSet:
    return films("real", rng.random(N) < 0.5, rng)


@pytest.fixture
def unseen(rng: np.random.Generator) -> ImageSet:
    return films("test", rng.random(N) < 0.5, rng)


def values(found: list[Measurement], condition: str) -> dict[str, float | None]:
    return {m.measure: m.value for m in found if m.condition == condition}


def test_good_synthetic_images_teach_as_well_as_real_ones(
    real: ImageSet, unseen: ImageSet, rng: np.random.Generator
) -> None:
    found, curve = measure_utility(films("synthetic", rng.random(N) < 0.5, rng), real, unseen, rng, 2)
    over_all = values(found, "mass")
    assert over_all["utility_ratio"] == pytest.approx(1, abs=0.05)
    assert over_all["utility_synthetic"] is not None and over_all["utility_synthetic"] > 0.9
    assert over_all["utility_shuffled"] == pytest.approx(0.5, abs=0.2)
    assert values(found, "").keys() == over_all.keys() <= set(MEASURES)
    first = found[0]
    assert first.interval is not None and first.value is not None
    assert first.interval[0] <= first.value <= first.interval[1]
    assert (first.n, first.real_n, first.split) == (N, N, "test")
    assert curve is not None
    assert curve.x == (15, 30, 60, 120)
    assert set(curve.lines) == {"generated alone", "both", "real alone"}
    assert curve.lines["generated alone"][-1] == pytest.approx(first.value)


def test_images_that_do_not_show_what_was_asked_teach_nothing(
    real: ImageSet, unseen: ImageSet, rng: np.random.Generator
) -> None:
    shows = rng.random(N) < 0.5
    found, _ = measure_utility(films("synthetic", shows, rng, asked=rows(rng.permutation(shows))), real, unseen, rng, 3)
    assert values(found, "mass")["utility_synthetic"] == pytest.approx(0.5, abs=0.2)
    (ratio,) = [m for m in found if m.measure == "utility_ratio" and m.condition == "mass"]
    assert ratio.interval is not None and ratio.interval[1] < 0.9


def test_what_real_images_do_not_teach_is_not_measured(unseen: ImageSet, rng: np.random.Generator) -> None:
    shows = rng.random(N) < 0.5
    blind = films("real", shows, rng, asked=rows(rng.permutation(shows)))
    found, curve = measure_utility(films("synthetic", shows, rng), blind, unseen, rng, 2)
    assert curve is None
    assert all(m.value is None and "does not learn it" in m.reason for m in found)


def test_too_few_or_unlabeled_images_say_so(real: ImageSet, unseen: ImageSet, rng: np.random.Generator) -> None:
    for few in (real.take(range(6)), ImageSet("folder", real.images)):
        (one,), curve = measure_utility(few, real, unseen, rng)
        assert one.value is None
        assert "no label" in one.reason
        assert curve is None


def test_same_seed_same_numbers(real: ImageSet, unseen: ImageSet, rng: np.random.Generator) -> None:
    synthetic = films("synthetic", rng.random(N) < 0.5, rng)
    first, second = (measure_utility(synthetic, real, unseen, np.random.default_rng(3), 1) for _ in range(2))
    assert first == second


def test_there_is_one_row_of_features_per_image(rng: np.random.Generator) -> None:
    assert describe(rng.random((3, 80, 80), dtype=np.float32)).shape == (3, 768)
    assert describe(np.empty((0, 80, 80), np.float32)).shape == (0, 768)
