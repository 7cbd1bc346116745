from dataclasses import replace
from pathlib import Path

import pytest

from xray_generator.evaluation.records import Curve, Measurement, Record, read_record, write_record
from xray_generator.evaluation.summary import rough_time, summarize, time_text
from xray_generator.types import CheckpointRef, StudioError

CHECKPOINT = CheckpointRef("latent_diffusion", "tiny", "ab" * 32)
RECORD = Record(
    "tiny",
    "quick",
    "2026-01-02T03:04:05+00:00",
    "1234567",
    CHECKPOINT,
    {"num_images": 2_000, "split": "test"},
    (
        Measurement("precision", 0.5, 2_000, (0.25, 0.75), 0.8, 300, split="test", extractor="some space"),
        Measurement("precision", 0.625, 70, condition="mass", settings={"guidance_scale": 2.0}),
        Measurement("copy_rate", None, reason="no training images"),
        Measurement("of_a_later_version", 1.0),
    ),
    {"speed": Curve("Speed", "steps", "ms", (1.0, 2.0), {"ddim": (3.0, None)})},
    {"components": ({"component": "unet", "parameters": 12_345},)},
    ("One image | was left out.",),
)


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    path = write_record(RECORD, tmp_path / "metrics")
    assert path.name == "tiny_quick.record.json" and read_record(path) == RECORD
    for text in ("{", path.read_text().replace('"test"', '"\\ud800"'), path.read_text().replace("2000", "NaN", 1)):
        (path.parent / "broken.record.json").write_text(text)
        with pytest.raises(StudioError, match="broken.record.json cannot be read"):
            read_record(path.parent / "broken.record.json")


def test_the_table_of_ablations_is_found_under_its_old_name(tmp_path: Path) -> None:
    table = ({"change": "plain DDIM", "n": 5},)
    path = write_record(replace(RECORD, tables={"levers": table}), tmp_path)
    assert '"levers"' in path.read_text() and read_record(path).tables == {"ablations": table}


def test_a_record_is_asked_by_measure_and_condition() -> None:
    assert RECORD.get("precision").value == 0.5 and RECORD.get("precision", "mass").value == 0.625
    assert RECORD.get("recall") is None
    assert not RECORD.is_stale([CHECKPOINT]) and RECORD.is_stale([replace(CHECKPOINT, sha256="cd" * 32)])


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": float("nan")},
        {"value": None},
        {"value": 1.0, "reason": "none"},
        {"value": 1.0, "real": float("inf")},
        {"value": 1.0, "interval": (0.0, float("nan"))},
    ],
)
def test_a_number_is_finite_or_absent_with_a_reason(wrong: dict[str, object]) -> None:
    with pytest.raises(StudioError, match="precision"):
        Measurement("precision", **wrong)


def test_the_summary_says_all_that_the_record_holds() -> None:
    text = summarize(RECORD)
    assert (
        "checkpoint `latent_diffusion/tiny`, weights SHA-256 `abababababab`" in text and "- num images: 2,000" in text
    )
    cells = ["0.5", "0.25 to 0.75", "0.8", "2,000", "300", "best as in real images", "some space"]
    assert f"| Precision | all | {' | '.join(cells)} |" in text
    assert "| Precision | mass, guidance scale 2 | 0.625 |" in text
    assert "- Memorization rate: no training images" in text and "| of_a_later_version | all | 1 |" in text
    assert "| unet | 12,345 |" in text and text.endswith("- One image | was left out.\n")


def test_a_time_to_be_waited_for_is_told_in_its_unit() -> None:
    told = {0.2: "1 s", 36: "36 s", 119: "119 s", 120: "2 min", 7_100: "118 min", 7_200: "2 h", 111_600: "31 h"}
    assert {seconds: rough_time(seconds) for seconds in told} == told


def test_a_difference_of_times_is_told_as_finely_as_a_time() -> None:
    told = {410: "0.41 s", 5_800: "5.8 s", 58_000: "58 s", -410: "-0.41 s", -5_800: "-5.8 s", -58_000: "-58 s"}
    assert {milliseconds: time_text(milliseconds) for milliseconds in told} == told
