"""The captioned pack: `metadata.csv` + `images/`, and optionally `metadata_128.csv` + `images128/` and `images512/`.

Columns: image, caption, labels (`|` between them), split and patient_id are needed; view, age, sex, age_group, source,
license, orig_width and orig_height are read where they exist. An empty cell means "not known"; an empty split is
filled by the hash of the patient. `images512/` holds some of the films of `images/` again, larger, by the same names.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast, get_args

from xray_generator.data.rows import FINDINGS, Dataset, Row, Split, short_side, split_by_patient
from xray_generator.data.tables import Record, counted, is_inside, read_table
from xray_generator.types import StudioError

METADATA = "metadata.csv"
NEEDED = ("image", "caption", "labels", "patient_id", "split")
IMAGES, LARGE_IMAGES = "images", "images512"
PARTS = ((METADATA, IMAGES), ("metadata_128.csv", "images128"))  # table, folder
MAX_AGE = 120


def read_captioned(folder: Path) -> Dataset:
    """Read a captioned pack; a missing, repeated or unsafe file name is left out and counted.

    Raises:
        StudioError: no metadata.csv, a fault in a table (named with its line), or not one image left.
    """
    rows: list[Row] = []
    skipped: list[str] = []
    for table, images in PARTS:
        if table == METADATA or (folder / table).is_file():
            part = _read_part(folder / table, folder / images)
            rows += part.rows
            skipped += part.skipped
    if not rows:
        raise StudioError(f"{folder.name} holds no readable image. {'; '.join(skipped)}")
    return Dataset(tuple(rows), tuple(skipped))


def large_rows(rows: Iterable[Row], size: int) -> list[Row]:
    """The rows whose film reaches `size` pixels, with the larger file of `images512/` in place of their own."""
    return [row for row in map(_largest, rows) if row.native_size >= size]


def _largest(row: Row) -> Row:
    folder = next((parent for parent in row.path.parents if parent.name == IMAGES), None)
    if folder is None:
        return row
    path = folder.with_name(LARGE_IMAGES) / row.path.relative_to(folder)
    return replace(row, path=path, native_size=short_side(path)) if path.is_file() else row


def _read_part(table: Path, images: Path) -> Dataset:
    rows: dict[str, Row] = {}
    missing, repeated = [], []
    for record in read_table(table, NEEDED):
        name = record["image"]
        if name in rows:
            repeated.append(name)
        elif is_inside(name) and (images / name).is_file():
            rows[name] = _row(record, images / name)
        else:
            missing.append(name or f"line {record.line}")
    skipped = counted(f"images of {table.name} are missing in {images.name}/", missing)
    return Dataset(tuple(rows.values()), skipped + counted(f"rows of {table.name} repeat an image", repeated))


def _row(record: Record, path: Path) -> Row:
    sex = record["sex"].upper()
    if sex not in ("", "M", "F"):
        raise record.error(f"sex {record['sex']!r}; allowed: M, F or empty.")
    patient_id = record["patient_id"]
    sides = (short_side(path), record.integer("orig_width"), record.integer("orig_height"))
    return Row(
        path=path,
        prompt=record["caption"],
        findings=_findings(record),
        view=record["view"],
        age=_age(record),
        sex=cast(Literal["M", "F", ""], sex),
        age_group=record["age_group"],
        patient_id=patient_id,
        split=read_split(record, patient_id or path.name),
        source=record["source"],
        license=record["license"],
        native_size=min((side for side in sides if side), default=0),
    )


def read_split(record: Record, owner: str) -> Split:
    """The split that a line states, else the one that the hash of `owner`, a patient or a file, gives."""
    split = record["split"].lower()
    if split not in ("", *get_args(Split)):
        raise record.error(f"split {record['split']!r}; allowed: {', '.join(get_args(Split))} or empty.")
    return cast(Split, split) if split else split_by_patient(owner)


def _findings(record: Record) -> tuple[str, ...]:
    findings = tuple(label.strip() for label in record["labels"].split("|") if label.strip())
    for label in findings:
        if label not in FINDINGS:
            close = difflib.get_close_matches(label.lower(), FINDINGS, n=1)
            hint = f"is it {close[0]!r}?" if close else f"allowed: {', '.join(FINDINGS)}."
            raise record.error(f"unknown label {label!r}; {hint}")
    return findings


def _age(record: Record) -> int | None:
    age = record.integer("age")
    if age is not None and not 0 <= age <= MAX_AGE:
        raise record.error(f"age {record['age']!r}; allowed: 0 to {MAX_AGE} years or empty.")
    return age
