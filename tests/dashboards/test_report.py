import csv
import io
import re
import zipfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from tests.pages.record_samples import FOLDER, FULL, GONE, keep
from xray_generator.dashboards.board import Entry, first_columns, read_board
from xray_generator.dashboards.report import (
    FIELDS,
    make_report,
    measured_text,
    stored_figures,
    to_csv,
    to_html,
    zip_record,
)
from xray_generator.evaluation.records import Measurement

ENTRIES = [Entry(Path("a"), FULL), Entry(Path("b"), GONE, "The weights are not here."), Entry(Path("c"), FOLDER)]
COLUMNS = first_columns([entry.record for entry in ENTRIES])


class Tags(HTMLParser):
    """The tags of a page, with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_csv_has_a_line_for_each_number_with_all_that_it_stands_on() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(ENTRIES))))
    assert len(rows) == sum(len(entry.record.measurements) for entry in ENTRIES) and tuple(rows[0]) == tuple(FIELDS)
    found = next(row for row in rows if row["measure"] == "precision" and row["subject"] == "tiny")
    expected = {
        "value": "0.5",
        "low_95": "0.4",
        "high_95": "0.6",
        "n": "100",
        "real": "0.9",
        "real_n": "100",
        "split": "val+test",
        "extractor": "classifier@c9d40e0ea6cf",
        "date": FULL.created,
        "commit": "1234567",
        "weights_sha256": "ab" * 32,
        "stale": "no",
        "real_images": "films",
    }
    assert expected.items() <= found.items()
    missing = next(row for row in rows if row["condition"] == "mass")
    assert missing["value"] == "" and missing["reason"] == "0 test films have it"
    assert {row["stale"] for row in rows if row["subject"] == "longer"} == {"yes"}


def test_csv_holds_no_formula_and_keeps_negative_numbers() -> None:
    record = replace(FULL, subject="=HYPERLINK(1)", measurements=(Measurement("kernel_distance", -0.5, 9),))
    row = next(csv.DictReader(io.StringIO(to_csv([Entry(Path("a"), record)]))))
    assert row["subject"] == "'=HYPERLINK(1)" and row["value"] == "-0.5"


def test_the_report_stands_alone_and_takes_no_text_for_markup() -> None:
    text = make_report(ENTRIES, COLUMNS)
    page = Tags(text)
    tags = {tag for tag, _ in page.found}
    assert not tags & {"script", "link", "iframe", "b"} and "folder <b>of *others*" in page.text
    images = [attributes["src"] for tag, attributes in page.found if tag == "img"]
    assert len(images) > 10 and all(source.startswith("data:image/png;base64,") for source in images if source)
    assert not re.search(r"(?:src|href)=\"(?!data:)", text)
    for part in (
        "The weights are not here.",
        "Ranks",
        "too few images",
        "One film | was *left out*.",
        "Rank 1 is best",
    ):
        assert part in page.text


def test_one_record_alone_has_no_ranks_and_no_columns_no_table() -> None:
    text = to_html(ENTRIES[:1], COLUMNS, {})
    assert "Ranks need two records or more" in text and "<figure>" not in text
    assert "Mean rank (0 measures)" in to_html(ENTRIES, (), {})


def test_a_number_is_said_with_interval_and_yardstick() -> None:
    assert measured_text(Measurement("precision", 0.5, 9, (0.25, 0.75), 0.875)) == "0.5 (0.25 to 0.75); real 0.875"
    assert measured_text(None) == "not measured" == measured_text(Measurement("precision", None, reason="no images"))


def test_the_zip_holds_record_summary_and_figures(tmp_path: Path) -> None:
    keep(tmp_path, FULL)
    folder = tmp_path / "visualizations" / FULL.name
    folder.mkdir(parents=True)
    (folder / "spectrum.png").write_bytes(b"png")
    entry = read_board(tmp_path / "metrics", []).entries[0]
    figures = stored_figures(entry, folder.parent)
    assert figures == {"spectrum": folder / "spectrum.png"}
    archive = zipfile.ZipFile(io.BytesIO(zip_record(entry, figures)))
    assert sorted(archive.namelist()) == ["model_summary.md", "spectrum.png", entry.path.name]
    outside = replace(entry, record=replace(FULL, subject=f"../visualizations/{FULL.subject}"))
    assert stored_figures(outside, folder.parent) == {}
