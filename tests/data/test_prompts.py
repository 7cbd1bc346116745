"""What is read from a prompt, on real captions, on all wordings of training and on how people write."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from xray_generator.data.prompts import describe_reading, row_of_prompt
from xray_generator.data.read import read_dataset
from xray_generator.data.rewording import reword
from xray_generator.data.rows import Row, denied_findings, row_conditions


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


def test_what_a_prompt_denies_is_absent_and_ages_out_of_range_are_not_read() -> None:
    row = row_of_prompt("Chest X-ray without pneumothorax, 400-year-old man")
    assert row.absent == ("pneumothorax",) and row.age is None and row.age_group == ""


@pytest.mark.parametrize(
    ("prompt", "read"),
    [
        ("60F, CXR, PTX", "60 years · female · pneumothorax"),
        ("PA CXR of a 45 yo gentleman, normal", "PA · 45 years · male · normal"),
        ("portable AP film, woman aged 72, no PNA", "AP · 72 years · female · no pneumonia"),
        ("6-month-old boy, chest film", "0 years · male"),
        ("elderly woman, lungs are clear", "older adult · female · normal · no consolidation · no airspace opacity"),
        ("chest X-ray, unremarkable", "normal"),
        ("chest X-ray without effusion or pneumothorax", "no pleural effusion · no pneumothorax"),
        ("PA chest X-ray, effusion: none, PTX - none, nodule", "PA · nodule · no pleural effusion · no pneumothorax"),
        ("a scan", ""),
    ],
)
def test_prompts_as_people_write_them(prompt: str, read: str) -> None:
    assert describe_reading(row_of_prompt(prompt)) == read


def test_every_wording_of_training_is_read_as_what_is_known(sample_folder: Path) -> None:
    rows, denying = read_dataset(sample_folder).rows, 0
    for row in rows:
        for wording in reword(row, 12):
            read = row_of_prompt(wording)
            assert set(read.findings) <= set(row.findings), wording
            assert set(read.absent) <= {*denied_findings(row), "consolidation", "airspace_opacity"}, wording
            assert read.sex in ("", row.sex) and read.view[:2] in ("", row.view[:2]), wording
            assert read.age_group in ("", row.age_group), wording
            denying += bool(read.absent)
    assert denying > len(rows)  # of 12 wordings of each
