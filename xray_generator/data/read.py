"""Read a dataset folder in whichever of the supported layouts it has."""

from __future__ import annotations

from pathlib import Path

from xray_generator.data.captioned import METADATA, read_captioned
from xray_generator.data.class_folders import find_classes, has_class_folders, read_class_folders
from xray_generator.data.ct_series import CT, CtOptions, holds_ct, read_ct_series
from xray_generator.data.files import list_files
from xray_generator.data.indiana import read_indiana
from xray_generator.data.labeled import read_labeled
from xray_generator.data.rows import Dataset
from xray_generator.data.tables import read_header
from xray_generator.data.texts import has_captions, read_texts
from xray_generator.dicom import lacks_mark
from xray_generator.types import StudioError

REPORTS, PROJECTIONS = "indiana_reports.csv", "indiana_projections.csv"
NUM_LOOKED_AT, NUM_BYTES = 50, 132  # files of a folder without a layout, and of each
INDIANA_IMAGES = ("images/images_normalized", "images_normalized", "images", ".")


def read_dataset(
    dataset_path: Path, reports_csv: Path | None = None, projections_csv: Path | None = None, ct: CtOptions = CT
) -> Dataset:
    """Read a folder in the first of these layouts that it has; giving the two CSV files selects Indiana's.

    A captioned or (by the columns of its table) labeled pack; the Indiana layout; chest CT in DICOM, with the options
    `ct`; two or more sub-folders of images, one a class; images with their captions in text files beside them.

    Raises:
        StudioError: no such folder, no such layout, only one of the two CSV files, or a fault in a table.
    """
    if not dataset_path.is_dir():
        raise StudioError(f"The dataset folder {dataset_path} does not exist.")
    if (reports_csv is None) != (projections_csv is None):
        raise StudioError("The Indiana layout needs both CSV files: reports and projections.")
    if reports_csv is None and (dataset_path / METADATA).is_file():
        return read_labeled(dataset_path) if is_labeled(dataset_path) else read_captioned(dataset_path)
    reports = reports_csv or dataset_path / REPORTS
    projections = projections_csv or dataset_path / PROJECTIONS
    if reports_csv is None and not (reports.is_file() and projections.is_file()):
        if holds_ct(dataset_path):
            return read_ct_series(dataset_path, ct)
        if has_class_folders(dataset_path):
            return read_class_folders(dataset_path)
        if has_captions(dataset_path):
            return read_texts(dataset_path)
        raise StudioError(
            f"{dataset_path} has none of the supported layouts: a captioned or labeled pack ({METADATA} and images/),"
            f" the Indiana layout ({REPORTS}, {PROJECTIONS} and images/images_normalized/), chest CT in DICOM,"
            f" two or more sub-folders of images, one a class, or images with a text file each.{_hint(dataset_path)}"
        )
    images = next(folder for name in INDIANA_IMAGES if (folder := dataset_path / name).is_dir())
    return read_indiana(images, reports, projections)


def _hint(folder: Path) -> str:
    """What the files of a folder without a layout are, or where its classes lie, where that can be told."""
    if inner := find_classes(folder):
        return f" Give {inner}, whose sub-folders are classes."
    for path in list_files(folder)[:NUM_LOOKED_AT]:
        with path.open("rb") as stream:
            if lacks_mark(stream.read(NUM_BYTES)):
                return f" {path.name} is a DICOM data set without its file header; save it as a DICOM file."
    return ""


def is_labeled(folder: Path) -> bool:
    """Whether a folder has a table with one class a row: a column label, and none of findings in its place."""
    header = read_header(folder / METADATA) if (folder / METADATA).is_file() else ()
    return "label" in header and ("image" in header or "labels" not in header)
