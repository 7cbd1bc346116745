import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.pages.record_samples import ENCODER, FOLDER, FULL, GONE, HERE, PARTS, QUICK, RADIOMICS, keep
from xray_generator.dashboards.board import (
    Column,
    Entry,
    age,
    column_names,
    columns_of,
    first_columns,
    headline,
    label_entries,
    rank,
    read_board,
    shortfall,
    space_names,
    staleness,
)
from xray_generator.dashboards.series import (
    by_space,
    conditions_of,
    in_conditions,
    over_time,
    ratio_table,
    ratio_to_real,
    spokes,
    sweep,
)
from xray_generator.evaluation.records import Measurement

SHARPNESS = Column("sharpness_ratio")


def entry(record, stale: str = "") -> Entry:
    return Entry(Path(f"{record.name}.record.json"), record, stale)


def test_a_board_puts_full_suites_first_and_names_what_it_cannot_read(tmp_path: Path) -> None:
    keep(tmp_path, QUICK, GONE, FULL)
    (tmp_path / "metrics" / "broken.record.json").write_text("{")
    board = read_board(tmp_path / "metrics", [HERE])
    assert [e.record for e in board.entries] == [FULL, GONE, QUICK]
    assert [bool(e.stale) for e in board.entries] == [False, True, False]
    assert len(board.faults) == 1 and "broken.record.json" in board.faults[0]
    assert read_board(tmp_path / "nowhere", []).entries == ()


def test_the_fullest_record_of_the_first_checkpoint_leads(tmp_path: Path) -> None:
    here = replace(QUICK, checkpoint=GONE.checkpoint, subject="here")
    short = replace(here, subject="short", created="2027-01-01T00:00:00+00:00", measurements=here.measurements[:3])
    older = replace(FULL, checkpoint=replace(HERE, family="latent_diffusion", name="longer", sha256="ef" * 32))
    keep(tmp_path, FULL, short, here, replace(older, subject="older"))
    board = read_board(tmp_path / "metrics", [HERE], GONE.checkpoint)
    assert [e.record.subject for e in board.entries] == ["here", "short", "older", "tiny"]


def test_stale_weights_are_changed_or_not_here() -> None:
    assert staleness(FULL, [HERE]) == "" and staleness(FOLDER, []) == ""
    assert "changed since" in staleness(FULL, [replace(HERE, sha256="cd" * 32)])
    assert "not here" in staleness(FULL, [replace(HERE, name="another")])


def test_labels_are_told_apart() -> None:
    again = replace(FULL, created="2026-02-02T00:00:00+00:00")
    labels = label_entries([entry(FULL), entry(GONE), entry(again), entry(again)])
    assert labels == ("tiny, 2026-01-02", "longer", "tiny, 2026-02-02", "tiny, 2026-02-02 #2")


def test_a_headline_is_taken_with_the_records_own_settings() -> None:
    found = headline(FULL)
    assert found[Column("latency_ms")].value == 500 and found[SHARPNESS].n == 100
    assert Column("kernel_distance", ENCODER) not in found  # only swept
    slower = replace(FULL, settings={**FULL.settings, "num_inference_steps": 4})
    assert headline(slower)[Column("latency_ms")].value == 100


def test_a_measure_in_each_space_is_a_column_and_the_first_that_has_a_number_is_shown() -> None:
    columns = columns_of([FULL, GONE])
    assert [c.extractor for c in columns if c.measure == "frechet_ratio"] == [ENCODER, PARTS, RADIOMICS]
    assert Column("precision", ENCODER, "pneumonia") not in columns  # all images have a number
    assert [c.condition for c in columns if c.measure == "prompt_accuracy"] == ["pneumonia"]  # mass has no value
    first = first_columns([FULL])
    assert Column("frechet_ratio", PARTS) in first and Column("precision", ENCODER) in first
    assert column_names([Column("precision", ENCODER, "M")]) == {
        Column("precision", ENCODER, "M"): "Precision · classifier · male"
    }
    assert space_names(["a@0f", "a@1f", "b@2f"]) == {"a@0f": "a@0f", "a@1f": "a@1f", "b@2f": "b"}


@pytest.mark.parametrize(
    ("created", "words"),
    [
        ("2026-01-07T00:00:00+00:00", "3 days ago"),
        ("2026-01-08T23:00:00+00:00", "1 day ago"),
        ("2026-01-09T22:00:00", "2 hours ago"),
        ("2026-01-09T23:30:00+00:00", "30 minutes ago"),
        ("2026-01-10T00:00:00+00:00", "just now"),
        ("2027-01-01T00:00:00+00:00", "just now"),
        ("once", "date unknown"),
    ],
)
def test_age_is_said_in_words(created: str, words: str) -> None:
    assert age(created, datetime(2026, 1, 10, tzinfo=UTC)) == words


@pytest.mark.parametrize(
    ("measure", "better", "worse", "real"),
    [
        ("psnr", 40.0, 30.0, None),
        ("spectral_distance", 1.0, 2.0, 0.5),
        ("precision", 0.8, 1.2, 0.9),
        ("sharpness_ratio", 2.0, 0.4, None),
        ("sharpness_ratio", 0.1, 0.0, None),
    ],
)
def test_each_direction_has_its_order(measure: str, better: float, worse: float, real: float | None) -> None:
    near, far = (shortfall(Measurement(measure, value, real=real)) for value in (better, worse))
    assert near is not None and far is not None and near < far


def test_half_is_as_far_from_real_as_double_and_without_a_yardstick_nobody_can_say() -> None:
    half, double = (shortfall(Measurement("sharpness_ratio", value)) for value in (0.5, 2.0))
    assert half == pytest.approx(double) == pytest.approx(math.log(2))
    assert shortfall(Measurement("precision", 0.5)) is None


def test_ranks_share_ties_and_leave_out_what_some_have_not() -> None:
    shorter = replace(FOLDER, measurements=tuple(m for m in FOLDER.measurements if m.measure != "frechet_ratio"))
    columns = [SHARPNESS, Column("frechet_ratio", PARTS), Column("recall", ENCODER), Column("copies_found", ENCODER)]
    ranking = rank([FULL, GONE, shorter], columns)
    assert ranking.by_column == {
        SHARPNESS: (1, 2, 3),
        columns[1]: (2, 1, None),
        columns[2]: (1, 1, 1),
    }
    assert ranking.mean == (1.0, 1.5, 2.0) and ranking.num_common == 2
    alone = rank([FULL], columns)
    assert alone.by_column[SHARPNESS] == (1,) and alone.mean == (1.0,)
    assert rank([FULL], [Column("recall", RADIOMICS)]).mean == (None,)


def test_only_numbers_of_equally_many_images_are_ranked() -> None:
    column = Column("frechet_ratio", PARTS)

    def of(value: float, n: int):
        return replace(FULL, measurements=(Measurement("frechet_ratio", value, n, extractor=PARTS),))

    ranking = rank([of(1.2, 250), of(1.1, 250), of(1.0, 100)], [column])
    assert ranking.by_column[column] == (2, 1, None) and ranking.num_common == 0
    assert "different numbers of images: Fréchet distance, ratio to real" in ranking.reason
    assert rank([of(1.2, 250), of(1.0, 100)], [column]).by_column[column] == (None, None)
    equal = rank([of(1.2, 250), of(1.0, 250)], [column])
    assert equal.by_column[column] == (2, 1) and equal.reason == ""


def test_a_sweep_goes_over_steps_and_over_the_time_that_they_take() -> None:
    points = sweep(FULL, "sharpness_ratio", "num_inference_steps")
    assert [(p.x, p.m.value) for p in points] == [(4, 0.25), (20, 0.5), (50, 0.6)]
    assert [(p.x, p.m.value) for p in over_time(FULL, points)] == [(0.1, 0.25), (0.5, 0.5)]  # 50 steps: not timed
    assert [(p.x, p.m.n) for p in sweep(QUICK, "sharpness_ratio", "num_inference_steps")] == [(20, 100)]
    assert sweep(QUICK, "sharpness_ratio", "guidance_scale") == ()


def test_conditions_hold_what_was_measured_and_ratios_what_has_a_yardstick() -> None:
    table = conditions_of([FULL, replace(GONE, measurements=())])
    assert set(table) == {
        Column("precision", ENCODER),
        Column("copy_rate", ENCODER),
        Column("prompt_accuracy", ENCODER),
    }
    assert [m and m.value for m in table[Column("prompt_accuracy", ENCODER)]["pneumonia"]] == [0.7, None]
    ratios = ratio_table(FULL)
    assert ratios.rows == ("pneumonia",) and Column("copy_rate", ENCODER) not in ratios.columns
    assert sorted(value for value in ratios.values[0] if value is not None) == pytest.approx([0.5, 0.875])
    assert list(in_conditions(FULL, "copy_rate")) == ["male"]


def test_ratios_are_of_what_has_a_yardstick_far_from_0() -> None:
    assert ratio_to_real(Measurement("precision", 0.45, real=0.9)) == 0.5
    assert ratio_to_real(Measurement("kernel_distance", 0.5, real=0.01)) is None
    assert ratio_to_real(Measurement("sharpness_ratio", 0.3)) == 0.3
    assert spokes(FULL) == pytest.approx({"Sharpness": 0.5, "Precision": 0.5 / 0.9, "Recall": 0.5 / 0.9})
    assert list(by_space(FULL, "precision")) == ["classifier", "radiomics 1"]
