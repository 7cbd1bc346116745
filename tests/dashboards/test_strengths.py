"""What a checkpoint is said to be good and bad at follows from its record alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.pages.record_samples import FULL, GONE, HERE, QUICK, keep
from xray_generator.dashboards.board import Board, read_board
from xray_generator.dashboards.strengths import Strengths, find_points, find_strengths
from xray_generator.evaluation.records import Measurement, Record


def record(*measurements: Measurement) -> Record:
    return replace(FULL, measurements=measurements)


def verdicts(*measurements: Measurement) -> dict[str, str]:
    return {point.title: point.verdict for point in find_points(record(*measurements), {"oda": "Outer arms missing"})}


def accuracy(
    value: float, low: float, high: float, real: float, condition: str = "oda", measure: str = "class_accuracy"
) -> Measurement:
    return Measurement(measure, value, 30, (low, high), real, 20, condition)


@pytest.mark.parametrize(
    ("measurement", "verdict"),
    [
        (accuracy(0.90, 0.8, 0.97, 0.95), "good"),
        (accuracy(0.80, 0.6, 0.97, 0.95), "unsure"),
        (accuracy(0.80, 0.7, 0.90, 0.95), "weak"),
        (accuracy(0.30, 0.2, 0.50, 0.16), "not measured"),  # a classifier that does not know real ones
        (Measurement("class_accuracy", None, 9, condition="oda", reason="9 images; 10 needed"), "not measured"),
    ],
)
def test_a_class_is_judged_against_real_images(measurement: Measurement, verdict: str) -> None:
    assert verdicts(measurement)["Outer arms missing"] == verdict


def test_findings_and_facts_of_prompts_are_named_and_points_of_a_sweep_are_left_out() -> None:
    prompted = [accuracy(0.9, 0.8, 1, 0.9, name, "prompt_accuracy") for name in ("AP", "pneumonia, kermany_pediatric")]
    swept = replace(accuracy(0.1, 0, 0.2, 0.9, "M", "prompt_accuracy"), settings={"guidance_scale": 1.0})
    assert verdicts(*prompted, swept) == {
        "View": "good",
        "Pneumonia (Kermany children)": "good",
        "Sharpness": "not measured",
        "Copies of training images": "not measured",
    }


def test_softness_grain_and_copies_are_said() -> None:
    soft, grainy = (Measurement("sharpness_ratio", value, 30, (value - 0.05, value + 0.05)) for value in (0.3, 1.3))
    copying = Measurement("copy_rate", 0.07, 1_000, (0.06, 0.09), 0.03, 300)
    assert verdicts(soft, copying)["Too soft"] == verdicts(soft, copying)["Repeats training images"] == "weak"
    assert verdicts(grainy)["Too grainy"] == "weak"
    blind = Measurement("copies_found", 0.5, 50)
    assert verdicts(copying, blind)["Copies of training images"] == "not measured"


def sentences(*measurements: Measurement, is_stale: bool = False) -> list[str]:
    points = find_points(record(*measurements), {"oda": "Outer arms missing"})
    return list(Strengths(points, "2026-01-02", is_stale).sentences())


def test_the_summary_counts_what_was_judged_and_names_what_is_weak() -> None:
    soft = Measurement("sharpness_ratio", 0.3, 30, (0.25, 0.35))
    points = find_points(record(accuracy(0.90, 0.8, 0.97, 0.95), soft), {"oda": "Outer arms missing"})
    assert Strengths(points, "", is_stale=False).summary() == "Like real images in 1 of 2 points. Weak: Too soft."
    weak = [replace(point, verdict="weak", title=f"{place}") for place in range(6) for point in points[:1]]
    assert Strengths(tuple(weak), "", is_stale=False).summary().endswith("0 of 6 points. Weak: 0; 1; 2; 3; 2 more.")


def test_the_sentences_state_values_and_n() -> None:
    assert sentences(accuracy(0.8, 0.7, 0.9, 0.95), accuracy(1.0, 0.9, 1.0, 0.95, "cp_one")) == [
        "Good, as in real images: Cp one (n = 30).",
        "Weak: Outer arms missing (80%, real 95%, n = 30).",
        "Not measured: Sharpness; Copies of training images.",
        "Judged by a classifier and by measures, not by a doctor; 2026-01-02.",
    ]
    many = [Measurement("prompt_accuracy", None, 1, condition=f"x{i}", reason="none") for i in range(7)]
    unmeasured, judge = sentences(*many, is_stale=True)
    assert unmeasured.endswith("X0; X1; X2; X3; 5 more.") and judge.endswith("2026-01-02, on older weights.")


def test_the_record_of_these_weights_comes_before_a_fuller_one_of_older_ones(tmp_path: Path) -> None:
    keep(tmp_path, replace(FULL, checkpoint=replace(HERE, sha256="ef" * 32)), QUICK, GONE)
    board = read_board(tmp_path / "metrics", [HERE])
    assert board.find(HERE) == QUICK
    assert board.find(replace(HERE, name="never")) is None
    assert board.find(replace(HERE, sha256="01" * 32)).suite == "full"
    found = find_strengths(board, HERE, {})
    assert found is not None and found.measured_on == "2026-03-02" and not found.is_stale
    assert find_strengths(Board(()), HERE, {}) is None
