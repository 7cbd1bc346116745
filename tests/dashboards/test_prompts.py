from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from xray_generator.dashboards.prompts import (
    condition_title,
    is_of,
    row_of_prompt,
    similarity,
)
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Row, row_conditions
from xray_generator.evaluation.study import conditions


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often captions and labels of N rows say the same; what a caption leaves open cannot disagree."""

    n: int
    findings: float  # share of rows whose caption states exactly the labeled findings
    stated: dict[str, int]  # of view, sex, age, age_group: rows whose caption states it
    agreeing: dict[str, int]  # of those, how many state what the label says
    whole: float  # share of rows in which nothing that is stated disagrees, findings included


def agreement(rows: Sequence[Row]) -> Agreement:
    """How far conditions that are read from prompts can be trusted."""
    read = [row_of_prompt(row.prompt) for row in rows]
    pairs = list(zip(read, rows, strict=True))
    findings = [set(ours.findings) == set(row.findings) for ours, row in pairs]
    stated, agreeing = {}, {}
    whole = list(findings)
    for name in ("view", "sex", "age", "age_group"):
        said = [getattr(ours, name) not in ("", None) for ours in read]
        right = [getattr(ours, name) == getattr(row, name) for ours, row in pairs]
        stated[name] = sum(said)
        agreeing[name] = sum(a and b for a, b in zip(said, right, strict=True))
        whole = [kept and (b or not a) for kept, a, b in zip(whole, said, right, strict=True)]
    return Agreement(len(rows), sum(findings) / len(rows), stated, agreeing, sum(whole) / len(rows))


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


def test_a_condition_is_said_in_words_alone_and_together() -> None:
    assert [condition_title(name) for name in ("F", "covid19", "")] == ["female", "COVID-19", "any"]
    assert condition_title("M, child") == "male, child (under 13)" and condition_title("", "all") == "all"


def test_what_a_prompt_denies_is_absent_and_ages_out_of_range_are_not_read() -> None:
    row = row_of_prompt("Chest X-ray without pneumothorax, 400-year-old man")
    assert row.absent == ("pneumothorax",) and row.age is None and row.age_group == ""


def test_the_likest_row_has_the_same_words_then_the_same_findings() -> None:
    asked = row_of_prompt("PA chest X-ray of a 58-year-old woman with cardiomegaly")
    same, alike = asked, row_of_prompt("PA chest X-ray of a 60-year-old woman with cardiomegaly")
    other = row_of_prompt("AP chest X-ray of a child, bacterial pneumonia")
    assert similarity(asked, same) > similarity(asked, alike) > similarity(asked, other)
