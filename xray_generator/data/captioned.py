"""The captioned pack: `metadata.csv` + `images/`, and optionally `metadata_128.csv` + `images128/` and `images512/`.

Required columns: image, caption, labels (separated by `|`), split, patient_id; for the others see `listed`.
`images512/` holds larger versions of some images of `images/` under the same names. In `rsna_reading.csv` another
reader may contradict an image's labels (`contradicted` = 1): it still shows anatomy, view, age and sex, but neither its
labels nor a caption that states them are used.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from xray_generator.data.listed import read_listed
from xray_generator.data.rewording import describe_patient
from xray_generator.data.rows import FINDINGS, Dataset, Row, short_side
from xray_generator.data.tables import Line, read_table
from xray_generator.types import StudioError, quote

METADATA = "metadata.csv"
NEEDED = ("image", "caption", "labels", "patient_id", "split")
IMAGES, LARGE_IMAGES = "images", "images512"
PARTS = ((METADATA, IMAGES), ("metadata_128.csv", "images128"))  # table, folder
READING, CONTRADICTED = "rsna_reading.csv", "contradicted"


def read_captioned(folder: Path) -> Dataset:
    """Read a captioned pack; missing, repeated and unsafe file names are left out and counted.

    Raises:
        StudioError: no metadata.csv, a fault in a table (named with its line), or not one image left.
    """
    parts = [(folder / table, folder / images) for table, images in PARTS]
    present = [(table, images) for table, images in parts if table.name == METADATA or table.is_file()]
    dataset = read_listed(folder, present, NEEDED, _to_row)
    if not dataset.rows:
        raise StudioError(f"{folder.name} holds no readable image. {'; '.join(dataset.skipped)}")
    return _without_contradicted_labels(dataset, folder / READING)


def _without_contradicted_labels(dataset: Dataset, table: Path) -> Dataset:
    """The dataset, in which the findings of the images that a table marks are not known."""
    if not table.is_file():
        return dataset
    marked = {line["image"] for line in read_table(table, ("image", CONTRADICTED)) if line[CONTRADICTED] == "1"}
    rows = tuple(
        replace(row, findings=(), prompt=describe_patient(row)) if row.path.name in marked else row
        for row in dataset.rows
    )
    return Dataset(rows, dataset.skipped)


def large_rows(rows: Iterable[Row], size: int) -> list[Row]:
    """The rows of at least `size` pixels, with the file of `images512/` in place of a smaller one."""
    return [row for row in map(_largest, rows) if row.native_size >= size]


def _largest(row: Row) -> Row:
    folder = next((parent for parent in row.path.parents if parent.name == IMAGES), None)
    if folder is None:
        return row
    path = folder.with_name(LARGE_IMAGES) / row.path.relative_to(folder)
    return replace(row, path=path, native_size=short_side(path)) if path.is_file() else row


def _to_row(line: Line, row: Row) -> Row:
    return replace(row, findings=_findings(line))


def _findings(line: Line) -> tuple[str, ...]:
    findings = tuple(label.strip() for label in line.fact("labels").split("|") if label.strip())
    for label in findings:
        if label not in FINDINGS:
            close = difflib.get_close_matches(label.lower(), FINDINGS, n=1)
            hint = f"is it {close[0]!r}?" if close else f"allowed: {', '.join(FINDINGS)}."
            raise line.error(f"unknown label {quote(label)}; {hint}")
    return findings
