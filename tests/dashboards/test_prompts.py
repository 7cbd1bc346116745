from pathlib import Path

import pytest

from xray_generator.dashboards.prompts import (
    agreement,
    condition_title,
    is_of,
    likeness,
    row_conditions,
    row_of_prompt,
)
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Row
from xray_generator.evaluation.study import conditions


def test_real_captions_say_what_their_labels_say(dataset_folder: Path) -> None:
    rows = read_dataset(dataset_folder).rows
    found = agreement(rows)
    print(
        f"\n{found.n} captions: findings {found.findings:.1%}, nothing contradicts {found.whole:.1%}; "
        + ", ".join(f"{name} {found.agreeing[name]}/{found.stated[name]}" for name in found.stated)
    )
    assert found.n == len(rows) and found.findings >= 0.97 and found.whole >= 0.95
    for name, stated in found.stated.items():
        assert stated >= 0.3 * found.n and found.agreeing[name] >= 0.97 * stated


def test_agreement_falls_where_captions_and_labels_are_of_different_rows(dataset_folder: Path) -> None:
    rows = read_dataset(dataset_folder).rows
    shuffled = [
        Row(row.path, other.prompt, row.findings, view=row.view, sex=row.sex, age_group=row.age_group, age=row.age)
        for row, other in zip(rows, rows[67:] + rows[:67], strict=True)
    ]
    assert agreement(shuffled).whole < 0.5


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("PA chest X-ray of a 58-year-old woman with cardiomegaly", ("cardiomegaly", "PA", "F", "adult")),
        ("Normal chest X-ray of an 11-year-old girl, PA view", ("no_finding", "PA", "F", "child")),
        ("AP chest radiograph of a male patient: COVID-19", ("covid19", "AP", "M")),
        ("Frontal chest X-ray of a child with viral pneumonia", ("pneumonia", "viral_pneumonia", "child")),
        ("Chest X-ray, no pneumothorax, AP supine view, 80 year old man", ("AP", "M", "older_adult")),
        ("postero-anterior film of a boy", ("PA", "M")),
        ("a man and a woman, AP and PA", ()),
        ("", ()),
    ],
)
def test_a_prompt_becomes_the_conditions_that_it_states(prompt: str, expected: tuple[str, ...]) -> None:
    row = row_of_prompt(prompt)
    assert row_conditions(row) == expected
    assert all(is_of(row, name) for name in ("", *expected)) and not is_of(row, "hernia")


def test_conditions_are_named_as_an_evaluation_names_them(dataset_folder: Path) -> None:
    rows = read_dataset(dataset_folder).rows
    mine = {name: [i for i, row in enumerate(rows) if is_of(row, name)] for row in rows for name in row_conditions(row)}
    assert dict(sorted(mine.items())) == conditions(rows)
    assert (
        condition_title("F") == "female" and condition_title("covid19") == "COVID-19" and condition_title("") == "any"
    )


def test_what_a_prompt_denies_is_absent_and_ages_out_of_range_are_not_read() -> None:
    row = row_of_prompt("Chest X-ray without pneumothorax, 400-year-old man")
    assert row.absent == ("pneumothorax",) and row.age is None and row.age_group == ""


def test_the_likest_row_has_the_same_words_then_the_same_findings() -> None:
    asked = row_of_prompt("PA chest X-ray of a 58-year-old woman with cardiomegaly")
    same, alike = asked, row_of_prompt("PA chest X-ray of a 60-year-old woman with cardiomegaly")
    other = row_of_prompt("AP chest X-ray of a child, bacterial pneumonia")
    assert likeness(asked, same) > likeness(asked, alike) > likeness(asked, other)
