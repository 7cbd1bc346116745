"""Filters, search, counts and tables, on rows with known answers and on the sample that ships."""

import csv
import io
import itertools
import json
from pathlib import Path

import pytest

from xray_generator.data.captioned import read_captioned
from xray_generator.data.exploration import (
    ALL,
    FACTS,
    NOT_KNOWN,
    Filters,
    co_occurrence,
    count_ages,
    count_facts,
    count_findings,
    count_patients,
    cross_count,
    evenly,
    fact,
    filter_rows,
    fingerprint,
    health_json,
    known_facts,
    relative_name,
    to_csv,
)
from xray_generator.data.health import HealthReport, Issue
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import LOOSE_IMAGES, Row

HOME = Path("/data/set")
ROWS = (
    Row(
        HOME / "images/a.png",
        "PA chest X-ray of a 40-year-old man with pneumonia",
        ("pneumonia", "edema"),
        view="PA",
        age=40,
        sex="M",
        age_group="adult",
        patient_id="1",
        split="train",
        source="x",
        license="CC",
    ),
    Row(
        HOME / "images/b.png",
        "AP chest X-ray of a woman, male pattern",
        ("pneumothorax",),
        ("edema",),
        view="AP",
        age=8,
        sex="F",
        age_group="child",
        patient_id="1",
        split="test",
        source="x",
        report="FINDINGS: Large left pneumothorax. IMPRESSION: Pleural   line visible, no Edema.",
    ),
    Row(HOME / "images/c.png", "Normal chest radiograph, female", ("no_finding",), patient_id="1", source="y"),
    Row(HOME / "d.png", "", (), source=LOOSE_IMAGES),
)


def names(filters: Filters) -> str:
    return "".join(row.path.stem for row in filter_rows(ROWS, filters))


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        (Filters(), "abcd"),
        (Filters(split=("test",)), "b"),
        (Filters(split=("train",)), "ac"),
        (Filters(split=("",)), "d"),
        (Filters(source=("x", "y")), "abc"),
        (Filters(view=("",)), "cd"),
        (Filters(sex=("F",), age_group=("child",)), "b"),
        (Filters(findings=("pneumonia", "pneumothorax")), "ab"),
        (Filters(findings=("pneumonia", "edema"), all_findings=True), "a"),
        (Filters(findings=("pneumonia", "pneumothorax"), all_findings=True), ""),
        (Filters(ages=(8, 39)), "b"),
        (Filters(ages=(0, 120)), "ab"),
        (Filters(has_report=True), "b"),
        (Filters(has_report=False), "acd"),
    ],
)
def test_rows_must_pass_every_filter(filters: Filters, left: str) -> None:
    assert names(filters) == left


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("", "abcd"),
        ("  ", "abcd"),
        ("PNEUMO", "ab"),
        ("male", "b"),
        ("female", "c"),
        ("chest man", "a"),
        ("pleural visible", "b"),
        ('"pleural line"', "b"),
        ("“pleural line”", "b"),
        ('"line pleural"', ""),
        ('"pneumo"', ""),
        ('ap "no edema', "b"),
        ('""', "abcd"),
        ("40-year-old", "a"),
        ("(.*", ""),
        ("zebra", ""),
    ],
)
def test_search_matches_beginnings_of_words_and_quotations_exactly(query: str, left: str) -> None:
    assert names(Filters(query=query)) == left


def test_active_filters_are_counted() -> None:
    assert Filters().count == 0
    assert Filters(query=" ", all_findings=True).count == 0
    assert Filters(split=("test",), ages=(1, 2), has_report=False, query="x").count == 4


def test_a_loose_image_has_no_split() -> None:
    assert [fact(row, "split") for row in ROWS] == ["train", "test", "train", ""]


def test_findings_are_present_absent_or_unknown() -> None:
    counts = count_findings(ROWS)
    assert list(counts.columns) == ["present", "absent", "unknown"]
    assert counts.loc["edema"].tolist() == [1, 1, 2]
    assert counts.loc["pneumonia"].tolist() == [1, 0, 3]
    assert "hernia" not in counts.index
    assert list(count_findings((*ROWS, ROWS[0])).index[:2]) == ["edema", "pneumonia"]  # the most frequent first
    assert count_findings(()).empty


def test_facts_and_ages_are_counted_with_the_unknown_last() -> None:
    assert list(count_facts(ROWS, "view").items()) == [("PA", 1), ("AP", 1), (NOT_KNOWN, 2)]
    assert count_ages(ROWS) == {"0–9": 1, "10–19": 0, "20–29": 0, "30–39": 0, "40–49": 1, NOT_KNOWN: 2}
    assert count_ages(()) == {}


def test_table_of_two_facts_sums_to_all() -> None:
    table = cross_count(ROWS, "source", "split")
    assert list(table.index) == ["x", "y", LOOSE_IMAGES, ALL]
    assert list(table.columns) == ["train", "test", NOT_KNOWN, ALL]
    assert table.values.tolist() == [[1, 1, 0, 2], [1, 0, 0, 1], [0, 0, 1, 1], [2, 1, 1, 4]]


def test_findings_that_occur_together_are_counted() -> None:
    rows = (*ROWS, Row(HOME / "e.png", "", ("edema",)))
    table = co_occurrence(rows)
    assert list(table.index) == list(table.columns) == ["edema", "pneumonia", "pneumothorax"]
    assert table.values.tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert co_occurrence(rows, share=True).values.tolist() == [[1, 0.5, 0], [1, 1, 0], [0, 0, 1]]
    assert co_occurrence(()).empty and co_occurrence(ROWS[2:]).empty  # nothing, or no finding, is stated


def test_a_patient_is_an_id_within_a_source() -> None:
    found = count_patients(ROWS)
    assert (found.num_patients, found.num_without_id, found.images_each) == (2, 1, {1: 1, 2: 1})
    assert (found.median, found.most, found.in_several_splits) == (1.5, 2, 1)
    assert (count_patients(ROWS[3:]).median, count_patients(ROWS[3:]).num_patients) == (None, 0)


def test_even_spread_keeps_the_order_and_the_limit(sample_folder: Path) -> None:
    rows = read_dataset(sample_folder).rows
    few = evenly(rows, 7)
    places = [rows.index(row) for row in few]
    assert len(few) == 7
    assert places == sorted(places)
    assert max(b - a for a, b in itertools.pairwise(places)) <= len(rows) // 7 + 1
    assert evenly(rows, 10**6) == rows
    assert evenly((), 5) == ()


def test_fingerprint_changes_with_the_rows_and_their_files(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    row = Row(path, "a", ())
    gone = fingerprint((row,))
    path.write_bytes(b"1")
    first = fingerprint((row,))
    assert first == fingerprint((row,))
    assert len({gone, first, fingerprint((row, row)), fingerprint((Row(path, "b", ()),))}) == 4


def test_the_exported_table_names_no_machine_and_can_be_read_again(sample_folder: Path, tmp_path: Path) -> None:
    rows = read_dataset(sample_folder).rows
    text = to_csv(rows, sample_folder)
    assert str(sample_folder) not in text
    read = list(csv.DictReader(io.StringIO(text)))
    assert [line["image"] for line in read] == [relative_name(row.path, sample_folder) for row in rows]
    assert [line["caption"] for line in read] == [row.prompt for row in rows]
    assert [line["labels"] for line in read] == ["|".join(row.findings) for row in rows]
    (tmp_path / "images").symlink_to(sample_folder)  # a pack looks for its files there
    (tmp_path / "metadata.csv").write_text(text)
    again = read_captioned(tmp_path).rows
    kept = ("prompt", "findings", "view", "age", "sex", "split", "patient_id", "source", "license")
    assert all(getattr(a, name) == getattr(b, name) for a, b in zip(again, rows, strict=True) for name in kept)


def test_images_of_classes_are_filtered_by_class_and_exported_with_it(tmp_path: Path) -> None:
    rows = tuple(Row(tmp_path / f"{i}.png", "", (), label=label) for i, label in enumerate(("disc", "ring", "")))
    assert [len(filter_rows(rows, Filters(label=chosen))) for chosen in ((), ("disc",), ("disc", ""))] == [3, 1, 2]
    assert known_facts(rows) == ("label", "split") and known_facts(ROWS) == FACTS[1:]
    assert [line["label"] for line in csv.DictReader(io.StringIO(to_csv(rows, tmp_path)))] == ["disc", "ring", ""]


def test_the_table_holds_no_formula(tmp_path: Path) -> None:
    row = Row(tmp_path / "a.png", "=HYPERLINK(1)", (), report="@SUM(A1)")
    line = next(csv.DictReader(io.StringIO(to_csv((row,), tmp_path))))
    assert (line["caption"], line["report"]) == ("'=HYPERLINK(1)", "'@SUM(A1)")


def test_health_report_names_files_within_the_dataset() -> None:
    report = HealthReport(2, (Issue("duplicate", "Two.", (HOME / "images/a.png", Path("/elsewhere/x.png"))),))
    text = health_json(report, HOME)
    assert json.loads(text)["issues"][0]["paths"] == ["images/a.png", "x.png"]
    assert str(HOME) not in text
