from dataclasses import replace
from pathlib import Path

from xray_generator.dashboards.prompts import condition_title, describe_row, is_of, similarity
from xray_generator.data.prompts import row_of_condition, row_of_prompt
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import row_conditions
from xray_generator.evaluation.study import conditions
from xray_generator.types import ClassLabel, Unconditional


def test_conditions_are_named_as_an_evaluation_names_them(dataset_folder: Path) -> None:
    rows = read_dataset(dataset_folder).rows
    mine = {name: [i for i, row in enumerate(rows) if is_of(row, name)] for row in rows for name in row_conditions(row)}
    assert dict(sorted(mine.items())) == conditions(rows)


def test_a_condition_is_said_in_words_alone_and_together() -> None:
    assert [condition_title(name) for name in ("F", "covid19", "")] == ["female", "COVID-19", "any"]
    assert condition_title("cp, train", classes={"cp": "Central pair missing"}) == "Central pair missing, train"
    assert condition_title("M, child") == "male, child (under 13)" and condition_title("", "all") == "all"


def test_a_row_of_a_class_is_described_and_likest_to_others_of_it() -> None:
    row = replace(row_of_condition(ClassLabel("cp")), age_group="child", view="PA")
    assert describe_row(row, {"cp": "Central pair missing"}) == "Central pair missing · PA · child"
    assert describe_row(row_of_condition(Unconditional())) == ""
    assert similarity(row, row) - similarity(row, replace(row, label="ida")) == 4


def test_a_row_is_of_each_of_its_conditions_and_of_any() -> None:
    row = row_of_prompt("PA chest X-ray of a 58-year-old woman with cardiomegaly")
    assert all(is_of(row, name) for name in ("", "cardiomegaly", "PA", "F", "adult")) and not is_of(row, "hernia")


def test_the_likest_row_has_the_same_words_then_the_same_findings() -> None:
    asked = row_of_prompt("PA chest X-ray of a 58-year-old woman with cardiomegaly")
    same, alike = asked, row_of_prompt("PA chest X-ray of a 60-year-old woman with cardiomegaly")
    other = row_of_prompt("AP chest X-ray of a child, bacterial pneumonia")
    assert similarity(asked, same) > similarity(asked, alike) > similarity(asked, other)
