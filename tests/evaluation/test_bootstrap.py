import numpy as np

from xray_generator.data.rows import Row
from xray_generator.evaluation.bootstrap import groups, interval, matched_splits, mean_interval
from xray_generator.evaluation.image_sets import ImageSet


def images(num: int, rows: tuple[Row, ...] = ()) -> ImageSet:
    return ImageSet("some", np.zeros((num, 16, 16), np.float32), rows)


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


def test_splits_are_equally_large_and_share_no_patient(real: ImageSet) -> None:
    for split in matched_splits(images(60), real, np.random.default_rng(0)):
        assert split.size == 60 and len(set(split.generated)) == len(set(split.real)) == len(set(split.other)) == 60
        one, other = ({real.rows[i].patient_id for i in places} for places in (split.real, split.other))
        assert not one & other
    assert matched_splits(images(500), real, np.random.default_rng(0))[0].size == len(set(groups(real))) // 2
    assert matched_splits(images(0), images(1), np.random.default_rng(0))[0].size == 0


def test_a_split_takes_one_image_of_a_patient_on_every_side(real: ImageSet) -> None:
    rows = tuple(Row(row.path, row.prompt, (), patient_id=str(i // 7)) for i, row in enumerate(real.rows))
    for split in matched_splits(images(len(rows), rows), images(len(rows), rows), np.random.default_rng(0)):
        assert split.size == len({row.patient_id for row in rows}) // 2
        for places in (split.generated, np.concatenate([split.real, split.other])):
            assert len({rows[i].patient_id for i in places}) == len(places)


def test_an_interval_draws_whole_patients() -> None:
    rng = np.random.default_rng(0)
    means = rng.normal(size=30)
    values, owners = np.repeat(means, 10), np.repeat(np.arange(30), 10).astype(np.str_)
    alone = mean_interval(values, rng)
    together = mean_interval(values, rng, owners=owners)
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])
    assert mean_interval(values, rng, owners=np.repeat(np.arange(3), 100).astype(np.str_)) is None
