"""Records beside each other: which differences are within chance."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.pages.record_samples import ENCODER, FOLDER, FULL, GONE, QUICK
from xray_generator.config import parse
from xray_generator.dashboards.comparison import (
    SHOWN,
    Comparison,
    compare_records,
    describe,
    difference_bounds,
    table,
    write_comparison,
)
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.records import Measurement, Record
from xray_generator.types import StudioError


def record(name: str, *measurements: Measurement) -> Record:
    return replace(FULL, subject=name, measurements=measurements)


def accuracy(value: float, spread: float, n: int = 100, condition: str = "") -> Measurement:
    interval = (value - spread, value + spread) if spread else None
    return Measurement("class_accuracy", value, n, interval, condition=condition, extractor=ENCODER)


def test_the_bounds_of_a_difference_are_those_of_two_means() -> None:
    """For symmetric intervals they are the textbook's, and about 95 % of differences of equal means hold 0."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(400):
        pair = [rng.normal(0, 1, 50) for _ in range(2)]
        errors = [1.96 * float(x.std(ddof=1)) / 50**0.5 for x in pair]
        means = [float(x.mean()) for x in pair]
        estimates = [(m, (m - e, m + e)) for m, e in zip(means, errors, strict=True)]
        low, high = difference_bounds(estimates[0], estimates[1])
        assert (high - low) / 2 == pytest.approx(float(np.hypot(*errors)))
        held += low <= 0 <= high
    assert 365 <= held <= 394


def test_a_difference_is_judged_by_its_own_interval_and_by_which_way_is_better() -> None:
    first = record("first", accuracy(0.8, 0.05), Measurement("frechet_ratio", 2.0, 50, (1.5, 2.5), extractor=ENCODER))
    better = record("other", accuracy(0.9, 0.06), Measurement("frechet_ratio", 3.0, 50, (2.6, 3.4), extractor=ENCODER))
    rows = {row[0].measured.measure: row[1] for row in compare_records([first, better]).rows}
    assert rows["class_accuracy"].verdict == "better", "intervals overlap, and that of the difference is above 0"
    assert rows["class_accuracy"].bounds == pytest.approx((0.1 - 0.0781, 0.1 + 0.0781), abs=1e-4)
    assert rows["frechet_ratio"].verdict == "worse" and rows["frechet_ratio"].difference == 1.0
    near = record("near", accuracy(0.86, 0.06))
    rows = {row[0].measured.measure: row[1] for row in compare_records([first, near]).rows}
    assert rows["class_accuracy"].verdict == "within chance"
    assert (
        rows["frechet_ratio"].verdict == "not measured"
        and "not in this record" in rows["frechet_ratio"].measured.reason
    )


def test_what_cannot_be_compared_says_why() -> None:
    first = record("first", accuracy(0.8, 0.05), Measurement("parameters", 100.0, 1), Measurement("recall", 0.5, 50))
    other = record(
        "other", accuracy(0.9, 0.05, n=50), Measurement("parameters", 250.0, 1), Measurement("recall", 0.7, 50)
    )
    rows = {row[0].measured.measure: row[1] for row in compare_records([first, other]).rows}
    assert (rows["class_accuracy"].difference, rows["class_accuracy"].verdict) == (
        None,
        "not compared: other numbers of images",
    )
    assert rows["parameters"].verdict == "2.5 times as much" and rows["parameters"].bounds is None
    assert "without an interval" in rows["recall"].verdict


def test_times_are_compared_by_their_range_and_certainty_is_no_interval() -> None:
    def timed(value: float) -> Measurement:
        return Measurement("latency_ms", value, 3, settings={"fastest_ms": value - 5, "slowest_ms": value + 5})

    def sure(value: float) -> Measurement:
        return Measurement("precision", value, 3, (value, value), extractor=ENCODER)

    rows = compare_records([record("a", timed(100), sure(1.0)), record("b", timed(120), sure(0.9))]).rows
    verdicts = {row[0].measured.measure: row[1].verdict for row in rows}
    assert verdicts["latency_ms"] == "worse" and "without an interval" in verdicts["precision"]


def test_class_fidelity_is_listed_by_class_below_its_whole() -> None:
    classes = [accuracy(0.7, 0.1, 33, name) for name in ("meningioma", "glioma")]
    one, other = record("one", accuracy(0.8, 0.05), *classes), record("other", accuracy(0.8, 0.05), *classes)
    names = [line["measure"] for line in table(compare_records([one, other]))]
    assert [name.rpartition("· ")[2] for name in names] == [names[0].rpartition("· ")[2], "glioma", "meningioma"]
    assert set(SHOWN) <= MEASURES.keys()


def test_it_is_written_as_numbers_and_in_words(tmp_path: Path) -> None:
    comparison = compare_records([FULL, GONE, FOLDER])
    path = write_comparison(comparison, tmp_path)
    assert path.name == "tiny_full_films.comparison.json"
    assert parse(Comparison, json.loads(path.read_text())) == comparison
    text = (tmp_path / "tiny_full_films" / "comparison.md").read_text()
    assert text == describe(comparison)
    assert "longer less tiny" in text and "within chance" in text and "images of unknown origin" in text
    assert "0.45 × real" in text and comparison.rule in text


def test_records_of_other_suites_or_one_alone_are_refused() -> None:
    for records in ([FULL], [FULL, QUICK], [FULL, replace(GONE, settings={"real": "others"})]):
        with pytest.raises(StudioError, match="two records or more, of one suite"):
            compare_records(records)
