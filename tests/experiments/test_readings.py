"""What readers say of a blind study is kept, in whatever order they come, leave and press buttons; and its results."""

import csv
import io
import json
from pathlib import Path

import pytest

from tests.experiments.readers import FIRST, OTHER, PERSON, SECOND, make, read_all
from xray_generator.checkpoints import Manifest, find_checkpoint, read_manifest
from xray_generator.experiments.reader_results import ALL, find_results, to_csv, to_json
from xray_generator.experiments.reader_study import Study
from xray_generator.experiments.readings import (
    Answer,
    Checklist,
    add_answer,
    finish,
    list_readings,
    next_place,
    open_reading,
    split_sets,
    take_back,
)
from xray_generator.types import StudioError


@pytest.fixture
def manifest(tiny_checkpoint: Path) -> Manifest:
    return read_manifest(find_checkpoint(tiny_checkpoint / "checkpoints"))


@pytest.fixture
def study(tmp_path: Path, manifest: Manifest) -> Study:
    return make(tmp_path, manifest)


def test_a_reading_goes_on_where_it_was(tmp_path: Path, study: Study) -> None:
    reading = open_reading(tmp_path, study, PERSON, " A B ")
    order = study.order("A B")
    for place in order[:3]:
        reading = add_answer(tmp_path, study, reading, Answer(place, True, 1, 2, 3))
    again = open_reading(tmp_path, study, PERSON, "a b")
    assert again == reading and again.reader == "A B" and next_place(study, again) == order[3]
    assert list_readings(tmp_path, study) == (reading,)
    with pytest.raises(StudioError, match="another browser is called 'A B'"):
        open_reading(tmp_path, study, OTHER, "A B")
    for wrong in ("", " ", "x" * 41):
        with pytest.raises(StudioError, match="name or initials of 1 to 40 characters"):
            open_reading(tmp_path, study, PERSON, wrong)


def test_one_answer_is_kept_of_each_image(tmp_path: Path, study: Study) -> None:
    begun = open_reading(tmp_path, study, PERSON, "AB")
    first, second, *_ = study.order("AB")
    answer = Answer(first, False, 4, 4, 4)
    once = add_answer(tmp_path, study, begun, answer)
    assert add_answer(tmp_path, study, begun, answer) == once  # a second press, or another tab
    assert add_answer(tmp_path, study, once, Answer(study.order("AB")[5], True, 1, 1, 1)) == once
    twice = add_answer(tmp_path, study, begun, Answer(second, True, 1, 1, 1))
    assert [one.place for one in twice.answers] == [first, second]
    assert take_back(tmp_path, study, twice) == once
    assert finish(tmp_path, study, once, FIRST, SECOND) == once  # images are left


def test_what_is_said_at_the_end_cannot_be_changed_with_the_truth_in_sight(tmp_path: Path, study: Study) -> None:
    over = read_all(tmp_path, study, "AB")
    assert over.is_over and next_place(study, over) is None
    assert take_back(tmp_path, study, over) == over == finish(tmp_path, study, over, SECOND, SECOND)
    assert list_readings(tmp_path, study) == (over,)


def test_the_sets_of_the_checklist_come_in_an_order_that_does_not_tell(tmp_path: Path, study: Study) -> None:
    is_first_generated = {split_sets(study, f"reader {i}").is_first_generated for i in range(20)}
    assert is_first_generated == {True, False}
    for name in ("reader 1", "reader 2", "reader 3", "reader 4"):
        sets, reading = split_sets(study, name), read_all(tmp_path, study, name)
        generated = sets.first if sets.is_first_generated else sets.second
        assert all(study.items[place].is_generated for place in generated) and len(generated) == 6
        assert set(sets.first) | set(sets.second) == set(range(12))
        assert reading.generated == (FIRST if sets.is_first_generated else SECOND) != reading.real


def test_ratings_are_1_to_5_and_a_damaged_file_is_left_out(tmp_path: Path, study: Study) -> None:
    with pytest.raises(StudioError, match=r"1 to 5, not 0 \(confidence\)"):
        Answer(0, True, 0, 3, 3)
    with pytest.raises(StudioError, match=r"1 to 5, not 6 \(diversity\)"):
        Checklist(1, 1, 6, 1, 1)
    open_reading(tmp_path, study, PERSON, "AB")
    (path,) = (tmp_path / study.id / "readings").glob("*.json")
    path.write_text(path.read_text().replace("[]", '[{"place": 0}]'))
    assert list_readings(tmp_path, study) == ()


def test_results_count_readers_who_are_through(tmp_path: Path, study: Study) -> None:
    open_reading(tmp_path, study, OTHER, "begun")
    assert find_results(study, list_readings(tmp_path, study)) is None
    read_all(tmp_path, study, "sure")
    read_all(tmp_path, study, "=wrong", OTHER, wrong=12)
    readings = list_readings(tmp_path, study)
    results = find_results(study, readings)
    assert results is not None and [one.reader for one in results.readers] == [ALL, "sure", "=wrong"]
    together, sure, wrong = results.readers
    assert (together.accuracy.value, sure.accuracy.value, wrong.accuracy.value) == (0.5, 1, 0)
    assert (together.accuracy.n, sure.area.value, wrong.area.value) == (24, 1, 0)
    assert sure.accuracy.interval is not None and sure.accuracy.interval[0] < 0.8
    assert sure.generated_seen.n == sure.real_seen.n == 6 and sure.ratings["plausibility, real"].value == 3
    (agreement,) = results.agreements
    assert agreement.readers == ("sure", "=wrong") and agreement.kappa.value == -1
    assert {name: one.n for name, one in results.conditions.items()} == {"mass": 12, "normal": 12}
    swapped = [split_sets(study, name).is_first_generated for name in ("sure", "=wrong")]
    expected = sum(FIRST.realism if one else SECOND.realism for one in swapped) / 2
    assert results.checklist["realism"] == {"generated": expected, "real": 6 - expected}


def test_exports_hold_every_answer_and_name_no_browser(tmp_path: Path, study: Study) -> None:
    read_all(tmp_path, study, "=wrong", wrong=2)
    open_reading(tmp_path, study, OTHER, "begun")
    readings = list_readings(tmp_path, study)
    lines = list(csv.DictReader(io.StringIO(to_csv(study, readings))))
    assert len(lines) == 12 and [int(line["position"]) for line in lines] == list(range(1, 13))
    assert [int(line["image"]) for line in lines] == list(study.order("=wrong"))
    assert {line["reader"] for line in lines} == {"'=wrong"}  # no formula to a spreadsheet
    for line in lines:
        item = study.items[int(line["image"])]
        assert (line["is_generated"], line["origin"]) == (str(int(item.is_generated)), item.origin)
        assert (line["is_correct"] == "1") == (line["is_generated"] == line["says_generated"])
    assert [line["is_correct"] for line in lines].count("0") == 2
    text = to_json(study, readings)
    data = json.loads(text)
    assert data["results"]["readers"][0]["accuracy"]["value"] == pytest.approx(10 / 12)
    assert [one["reader"] for one in data["readings"]] == ["=wrong"] and len(data["study"]["items"]) == 12
    assert PERSON not in text and OTHER not in text
