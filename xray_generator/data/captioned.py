"""The captioned pack: `metadata.csv` + `images/`, and optionally `metadata_128.csv` + `images128/` and `images512/`.

Required columns: image, caption, labels (separated by `|`), split, patient_id. Optional: view, age, sex, age_group,
source, license, orig_width, orig_height. An empty cell means "not known"; an empty split is derived from a hash of the
patient. `images512/` holds larger versions of some images of `images/` under the same names. In `rsna_reading.csv`
another reader may contradict an image's labels (`contradicted` = 1): it still shows anatomy, view, age and sex, but
neither its labels nor a caption that states them are used.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast, get_args

from xray_generator.data.rewording import describe_patient
from xray_generator.data.rows import FINDINGS, Dataset, Row, Split, short_side, split_by_patient
from xray_generator.data.tables import Line, count_names, is_inside, read_table
from xray_generator.types import StudioError

METADATA = "metadata.csv"
NEEDED = ("image", "caption", "labels", "patient_id", "split")
IMAGES, LARGE_IMAGES = "images", "images512"
PARTS = ((METADATA, IMAGES), ("metadata_128.csv", "images128"))  # table, folder
READING, CONTRADICTED = "rsna_reading.csv", "contradicted"
MAX_AGE = 120


def read_captioned(folder: Path) -> Dataset:
    """Read a captioned pack; missing, repeated and unsafe file names are left out and counted.

    Raises:
        StudioError: no metadata.csv, a fault in a table (named with its line), or not one image left.
    """
    parts = [
        read_listed(folder / table, folder / images, NEEDED, _to_row)
        for table, images in PARTS
        if table == METADATA or (folder / table).is_file()
    ]
    dataset = Dataset(sum((part.rows for part in parts), ()), sum((part.skipped for part in parts), ()))
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


def read_listed(
    table: Path, images: Path, needed: Sequence[str], to_row: Callable[[Line, Path], Row | None]
) -> Dataset:
    """The images that a table lists; missing, repeated and unsafe file names are left out and counted.

    `to_row` gets a line and its file; None leaves out the image, which the caller then notes.
    """
    rows: dict[str, Row | None] = {}
    missing, repeated = [], []
    for line in read_table(table, needed):
        name = line["image"]
        if name in rows:
            repeated.append(name)
        elif is_inside(name) and (images / name).is_file():
            rows[name] = to_row(line, images / name)
        else:
            missing.append(name or f"line {line.number}")
    where = f" in {images.name}/" if images != table.parent else ""
    skipped = count_names(f"images of {table.name} are missing{where}", missing)
    skipped += count_names(f"rows of {table.name} repeat an image", repeated)
    return Dataset(tuple(row for row in rows.values() if row), skipped)


def _to_row(line: Line, path: Path) -> Row:
    sex = line["sex"].upper()
    if sex not in ("", "M", "F"):
        raise line.error(f"sex {line['sex']!r}; allowed: M, F or empty.")
    patient_id = line["patient_id"]
    return Row(
        path=path,
        prompt=line["caption"],
        findings=_findings(line),
        view=line["view"],
        age=_age(line),
        sex=cast(Literal["M", "F", ""], sex),
        age_group=line["age_group"],
        patient_id=patient_id,
        split=read_split(line, patient_id or path.name),
        source=line["source"],
        license=line["license"],
        native_size=native_size(line, path),
    )


def native_size(line: Line, path: Path) -> int:
    """The short side in pixels of the file or of the original, whichever is smaller; 0: not known."""
    sides = (short_side(path), line.integer("orig_width"), line.integer("orig_height"))
    return min((side for side in sides if side), default=0)


def read_split(line: Line, owner: str) -> Split:
    """The split that a line states, or one derived from a hash of `owner`, a patient or file."""
    split = line["split"].lower()
    if split not in ("", *get_args(Split)):
        raise line.error(f"split {line['split']!r}; allowed: {', '.join(get_args(Split))} or empty.")
    return cast(Split, split) if split else split_by_patient(owner)


def _findings(line: Line) -> tuple[str, ...]:
    findings = tuple(label.strip() for label in line["labels"].split("|") if label.strip())
    for label in findings:
        if label not in FINDINGS:
            close = difflib.get_close_matches(label.lower(), FINDINGS, n=1)
            hint = f"is it {close[0]!r}?" if close else f"allowed: {', '.join(FINDINGS)}."
            raise line.error(f"unknown label {label!r}; {hint}")
    return findings


def _age(line: Line) -> int | None:
    age = line.integer("age")
    if age is not None and not 0 <= age <= MAX_AGE:
        raise line.error(f"age {line['age']!r}; allowed: 0 to {MAX_AGE} years or empty.")
    return age
