import numpy as np
import pytest

from xray_generator.reference_encoder.bootstrap import bounds, interval, mean_interval, patient_interval


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_95_percent_of_intervals_hold_the_mean() -> None:
    rng = np.random.default_rng(0)
    ends = [mean_interval(rng.exponential(2, 60), rng, 200) for _ in range(200)]
    hits = np.mean([low <= 2 <= high for low, high in ends])
    assert 0.88 <= hits <= 0.98


def test_the_seed_alone_decides() -> None:
    values = np.random.default_rng(1).normal(size=50)
    assert mean_interval(values, np.random.default_rng(2)) == mean_interval(values, np.random.default_rng(2))
    assert mean_interval(values, np.random.default_rng(2)) != mean_interval(values, np.random.default_rng(3))


def test_fewer_than_ten_samples_have_no_interval() -> None:
    rng = np.random.default_rng(0)
    assert mean_interval(np.arange(9.0), rng) is None
    assert interval(lambda a, b: float(a.mean() - b.mean()), (np.arange(90.0), np.arange(9.0)), rng) is None
    assert mean_interval(np.arange(10.0), rng) is not None


def test_a_center_takes_the_bias_of_drawing_twice_away() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=40)

    def num_distinct(sample: np.ndarray) -> float:
        return float(len(np.unique(sample)))

    plain, centered = (interval(num_distinct, (values,), rng, center=center) for center in (None, 40.0))
    assert plain[1] < 40  # a draw never holds them all
    assert centered[0] < 40 < centered[1]


def test_an_interval_draws_whole_patients() -> None:
    rng = np.random.default_rng(0)
    means = rng.normal(size=30)
    values, owners = np.repeat(means, 10), np.repeat(np.arange(30), 10).astype(np.str_)
    alone = mean_interval(values, rng)
    together = mean_interval(values, rng, owners=owners)
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])
    assert mean_interval(values, rng, owners=np.repeat(np.arange(3), 100).astype(np.str_)) is None


def test_a_patient_interval_draws_patients_and_not_images(rng: np.random.Generator) -> None:
    values = np.repeat(rng.normal(size=20), 10)  # ten equal films of each of twenty patients
    by_film = patient_interval(lambda i: float(values[i].mean()), np.arange(200).astype(str), rng)
    by_patient = patient_interval(lambda i: float(values[i].mean()), np.repeat(np.arange(20), 10).astype(str), rng)
    assert by_film is not None and by_patient is not None
    ratio = (by_patient[1] - by_patient[0]) / (by_film[1] - by_film[0])
    assert 2 < ratio < 5  # sqrt(10) = 3.2
    assert by_patient[0] < values.mean() < by_patient[1]


def test_bounds_need_numbers() -> None:
    assert bounds([np.nan, np.nan, 1.0]) is None
    assert bounds([0.0, 1.0, np.nan]) == pytest.approx((0.025, 0.975))
