"""Chest CT in DICOM: folders of any names at any depth, one row a slice, in Hounsfield units up to the window.

This reads QIN LUNG CT (`QIN LUNG CT 1..47`, a folder a patient) and any other tree: files are recognized by content,
grouped into series by SeriesInstanceUID and ordered along the slice normal, never by file name. Files that cannot be
used are listed with the reason. Neighboring slices are much alike, so splits are by patient. License and citation are
those of the collection.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from xray_generator.data.dicom_series import NAMED, SeriesFile, find_series
from xray_generator.data.files import is_picture, list_files
from xray_generator.data.rows import Dataset, Row, split_by_patient
from xray_generator.dicom import check_axial_ct, is_dicom, read_header
from xray_generator.dicom.hounsfield import WINDOWS, Window
from xray_generator.types import StudioError, quote

T = TypeVar("T")
MAX_COUNT = 10_000
NUM_SAMPLED = 50  # DICOM files that decide whether a folder holds CT


@dataclass(frozen=True, slots=True)
class SliceChoice:
    """Which slices of a series are used: the `count` middle ones, every `count`-th from the lowest up, or all.

    Raises:
        StudioError: `way` is none of these, or the count is not a whole number from 1 to 10,000.
    """

    way: Literal["middle", "every", "all"] = "middle"
    count: int = 5

    def __post_init__(self) -> None:
        if not isinstance(self.way, str) or self.way not in ("middle", "every", "all"):
            raise StudioError(f"Slices are chosen by middle, every or all, not {quote(self.way)}.")
        if isinstance(self.count, bool) or not isinstance(self.count, int) or not 1 <= self.count <= MAX_COUNT:
            raise StudioError(f"The number of slices must be a whole number from 1 to {MAX_COUNT:,}.")

    def of(self, slices: Sequence[T]) -> tuple[T, ...]:
        """Choose among the slices of a series, in their order."""
        if self.way == "middle":
            start = max(0, (len(slices) - self.count) // 2)
            return tuple(slices[start : start + self.count])
        return tuple(slices[:: self.count if self.way == "every" else 1])


@dataclass(frozen=True, slots=True)
class CtOptions:
    """How a folder of DICOM files becomes training images; stored with a run, which is resumed in the same way."""

    choice: SliceChoice = SliceChoice()
    window: Window = WINDOWS["lung"]
    accept_identified: bool = False  # files with identifying tags or burned-in text
    accept_synthetic: bool = False  # files with SyntheticData = YES


CT = CtOptions()


def parse_choice(text: str) -> SliceChoice:
    """`middle:5`, `every:3` or `all`; StudioError for anything else."""
    match = re.fullmatch(r"(middle|every):([0-9]{1,6})|all", text.strip().lower())
    if match is None:
        raise StudioError(f"Slices are chosen by middle:5, every:3 or all, not {quote(text)}.")
    return SliceChoice(match[1], int(match[2])) if match[1] else SliceChoice("all")  # type: ignore[arg-type]


def holds_ct(folder: Path) -> bool:
    """Whether most images below a folder are DICOM, by content, and one of the first NUM_SAMPLED may be CT."""
    files = list_files(folder)
    dicom = [path for path in files if is_dicom(path)]
    num_pictures = sum(map(is_picture, files))
    return len(dicom) > num_pictures and any(map(_may_be_ct, dicom[:NUM_SAMPLED]))


def _may_be_ct(path: Path) -> bool:
    try:
        return read_header(path).modality == "CT"
    except (StudioError, OSError):
        return True  # read_ct_series reports the fault


def read_ct_series(folder: Path, options: CtOptions = CT) -> Dataset:
    """Read the axial CT series below a folder; files that are not used, and gaps, are listed, see `find_series`.

    Raises:
        StudioError: no slice can be used; the first reasons are named.
    """
    series, skipped = find_series(
        folder,
        check_axial_ct,
        accept_identified=options.accept_identified,
        accept_synthetic=options.accept_synthetic,
    )
    rows = [_row(file, folder, options.window) for files in series for file in options.choice.of(files)]
    if not rows:
        raise StudioError(f"No CT slice of {folder.name} can be used. {'; '.join(skipped[:NAMED])}")
    return Dataset(tuple(sorted(rows, key=lambda row: row.patient_id)), skipped)


def _row(file: SeriesFile, folder: Path, window: Window) -> Row:
    patient_id = file.patient_id(folder)
    name = next((name for name, preset in WINDOWS.items() if preset == window), None)
    shown = f"{name} window" if name else f"window level {window.level:g}, width {window.width:g} HU"
    return Row(
        path=file.path,
        prompt=f"Axial chest CT, {shown}.",
        findings=(),
        age=file.header.age,
        sex=file.header.sex,
        patient_id=patient_id,
        split=split_by_patient(patient_id),
        source=folder.name,
        native_size=min(file.header.rows, file.header.columns),
        hu_window=window,
    )
