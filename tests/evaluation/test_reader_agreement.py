"""Statistics of blind readers, each computed a second way."""

import numpy as np
import pytest

from xray_generator.evaluation.reader_agreement import Judgments, area, curve, join, kappa, mean, share

Z = 1.959963985  # of 95 %


def judge(seed: int, count: int = 40, skill: float = 0.7) -> Judgments:
    """A reader who is right as often as `skill` says, and surer where right."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % 2 == 0
    is_right = rng.random(count) < skill
    confidence = np.where(is_right, rng.integers(2, 6, count), rng.integers(1, 4, count))
    return Judgments(np.arange(count), truth, np.where(is_right, truth, ~truth), confidence)


def test_accuracy_of_one_reader_has_the_interval_of_wilson() -> None:
    reader = judge(0)
    found = share(reader.hits, reader.images)
    p, n = float((reader.calls == reader.truth).mean()), len(reader.images)
    center, reach = p + Z**2 / (2 * n), Z * np.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    assert found.value == p and found.n == n and 0 < p < 1
    assert found.interval == pytest.approx([(center - reach) / (1 + Z**2 / n), (center + reach) / (1 + Z**2 / n)])


def test_a_second_reader_of_the_same_images_does_not_halve_the_uncertainty() -> None:
    reader = judge(1)
    both = join([reader, reader])
    alone, together = share(reader.hits, reader.images), share(both.hits, both.images)
    as_if = share(both.hits, np.arange(2 * len(reader.images)))  # as if there were twice as many images
    assert together.value == alone.value and together.n == 2 * alone.n
    widths = [high - low for low, high in (one.interval for one in (alone, together, as_if) if one.interval)]
    assert widths[1] == pytest.approx(widths[0], rel=0.2) and widths[1] > 1.2 * widths[2]


def test_area_is_the_share_of_pairs_in_the_right_order_and_that_under_the_curve() -> None:
    reader = judge(2)
    scores = [c if call else -c for c, call in zip(reader.confidence, reader.calls, strict=True)]
    ours = [score for score, truth in zip(scores, reader.truth, strict=True) if truth]
    theirs = [score for score, truth in zip(scores, reader.truth, strict=True) if not truth]
    pairs = [(a > b) + (a == b) / 2 for a in ours for b in theirs]
    found, roc = area(reader), np.array(curve(reader))
    assert found.value == pytest.approx(np.mean(pairs)) == pytest.approx(np.trapezoid(roc[:, 1], roc[:, 0]))
    assert found.interval is not None and found.interval[0] < found.value < found.interval[1]
    assert roc[0].tolist() == [0, 0] and roc[-1].tolist() == [1, 1]


def test_kappa_is_the_agreement_beyond_that_of_chance() -> None:
    one, other = judge(3), judge(4)
    observed = (one.calls == other.calls).mean()
    a, b = one.calls.mean(), other.calls.mean()
    expected = a * b + (1 - a) * (1 - b)
    found = kappa(one, other.take(other.images >= 0))
    assert found.value == pytest.approx((observed - expected) / (1 - expected)) and found.n == 40
    assert found.interval is not None and found.interval[0] < found.value < found.interval[1]
    assert kappa(one, one).value == 1
    assert kappa(one, other.take(other.images < 15)).n == 15


def test_what_cannot_be_computed_is_none() -> None:
    reader = judge(5)
    real = reader.take(~reader.truth)
    same = Judgments(real.images, real.truth, np.zeros(len(real.truth), np.bool_), real.confidence)
    assert area(real).value is None and curve(real) == () and kappa(same, same).value is None
    none = reader.take(np.zeros(40, np.bool_))
    assert share(none.hits, none.images).value is None and mean(none.confidence, none.images).n == 0


def test_a_mean_of_few_images_has_no_interval() -> None:
    reader = judge(6)
    assert mean(reader.confidence, reader.images).value == pytest.approx(reader.confidence.mean())
    few = reader.take(reader.images < 9)
    assert mean(few.confidence, few.images).interval is None and area(few).interval is None
