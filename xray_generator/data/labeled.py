"""The labeled pack: `metadata.csv` with one class a row in `label`, and the images that it names.

Required columns: image, label; for the others see `listed`. An empty label or `unlabeled` means "not known".
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from xray_generator.data.captioned import METADATA
from xray_generator.data.listed import read_listed
from xray_generator.data.rows import Dataset, Row
from xray_generator.data.tables import Line, count_names, read_header
from xray_generator.dicom import is_dicom
from xray_generator.types import CLASS_NAME, StudioError, quote

NEEDED = ("image", "label")
UNKNOWN = ("", "unlabeled")


def read_labeled(folder: Path) -> Dataset:
    """Read a labeled pack; missing, repeated and unsafe file names are left out and counted.

    Raises:
        StudioError: no metadata.csv, a fault in a table (named with its line), or not one image left.
    """
    dicom: list[str] = []

    def to_row(line: Line, row: Row) -> Row | None:
        if is_dicom(row.path):
            dicom.append(line["image"])
            return None
        return replace(row, label=_label(line))

    dataset = read_listed(folder, [(folder / METADATA, folder)], NEEDED, to_row)
    skipped = dataset.skipped + count_names("DICOM files are left out: they are read as chest CT series only", dicom)
    if "labels" in read_header(folder / METADATA):
        skipped += (f"the column labels of {METADATA} is not read: in this layout an image has one class, in label",)
    if not dataset.rows:
        raise StudioError(f"{folder.name} holds no readable image. {'; '.join(skipped)}")
    return Dataset(dataset.rows, skipped)


def _label(line: Line) -> str:
    label = line.text("label").lower()
    if label not in UNKNOWN and not CLASS_NAME.fullmatch(label):
        raise line.error(f"label {quote(line['label'])}; a class is named by 1 to 64 of a-z, 0-9 and _.")
    return "" if label in UNKNOWN else label
