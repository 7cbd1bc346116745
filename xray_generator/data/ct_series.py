"""Chest CT in DICOM: folders of any names at any depth, one row a slice, in Hounsfield units up to the window.

This reads QIN LUNG CT (`QIN LUNG CT 1..47`, a folder a patient) and any other tree: files are recognized by content,
grouped into series by SeriesInstanceUID and ordered along the slice normal, never by file name. Files that cannot be
used are listed with the reason. Neighboring slices are much alike, so splits are by patient. License and citation are
those of the collection.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeVar

from xray_generator.data.files import is_picture, list_files
from xray_generator.data.rows import Dataset, Row, split_by_patient
from xray_generator.data.tables import count_names, count_reasons
from xray_generator.dicom import Header, check_axial_ct, is_dicom, read_header
from xray_generator.dicom.hounsfield import WINDOWS, Window
from xray_generator.types import StudioError, quote

T = TypeVar("T")
GAP = 0.02  # largest relative difference of the distances between slices in a series without gaps
SAME_PLACE = 1e-3  # mm
SAME_COSINE = 0.01
MAX_COUNT = 10_000
NAMED = 5  # most reasons in an error
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


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    header: Header


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
    """Read the axial CT series below a folder; files that are not used, and gaps, are listed.

    Series that mix patients, spacings or sizes, or that repeat an object, are refused; so are files with identifying
    tags or burned-in text and synthetic ones, unless `options` accepts them.

    Raises:
        StudioError: no slice can be used; the first reasons are named.
    """
    refused: dict[str, list[str]] = defaultdict(list)
    series: dict[str, list[_File]] = defaultdict(list)
    for path in list_files(folder):
        if not is_dicom(path):
            refused["files are not DICOM"].append(_name(path, folder))
            continue
        try:
            header = read_header(path)
            check_axial_ct(header)
        except (StudioError, OSError) as error:
            refused[f"DICOM files are left out ({str(error).rstrip('.')})"].append(_name(path, folder))
            continue
        reason = _objection(header, options)
        if reason:
            refused[reason].append(_name(path, folder))
        else:
            series[header.series_uid or str(path.parent)].append(_File(path, header))
    rows, notes = _rows(series.values(), folder, options)
    unclear = [_name(file.path, folder) for files in series.values() for file in files if file.header.burned_in is None]
    skipped = (
        *count_reasons(refused),
        *notes,
        *count_names("files do not say whether text is burned into their pixels", unclear),
    )
    if not rows:
        raise StudioError(f"No CT slice of {folder.name} can be used. {'; '.join(skipped[:NAMED])}")
    return Dataset(rows, skipped)


def _rows(series: Iterable[list[_File]], folder: Path, options: CtOptions) -> tuple[tuple[Row, ...], list[str]]:
    rows: list[Row] = []
    notes: list[str] = []
    for files in series:
        ordered = sorted(files, key=lambda file: (file.header.position_mm or 0.0, str(file.path)))
        faults = tuple(_faults(ordered))
        where = f"series in {_name(ordered[0].path.parent, folder)}/ (…{ordered[0].header.series_uid[-8:]})"
        if faults:
            notes.append(f"{where}: refused as a stack of {len(files):,} slices: {'; '.join(faults)}")
            continue
        notes += [f"{where}: {gap}" for gap in _gaps(ordered)]
        rows += [_row(file, folder, options.window) for file in options.choice.of(ordered)]
    return tuple(sorted(rows, key=lambda row: row.patient_id)), notes


def _row(file: _File, folder: Path, window: Window) -> Row:
    patient_id = _patient_id(file, folder)
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


def _patient_id(file: _File, folder: Path) -> str:
    """The patient id (hashed if the file is not de-identified); without one, the first folder below `folder`."""
    if not file.header.patient_id:
        parts = file.path.relative_to(folder).parts
        return parts[0] if len(parts) > 1 else folder.name
    if file.header.is_deidentified:
        return file.header.patient_id
    return "P-" + hashlib.sha256(file.header.patient_id.encode()).hexdigest()[:12]


def _objection(header: Header, options: CtOptions) -> str:
    """Why a readable slice must not be used without confirmation; empty if it may."""
    if header.is_synthetic and not options.accept_synthetic:
        return "files say that they are synthetic (SyntheticData = YES; use them with --accept_synthetic)"
    reasons = list(header.identifying) + ["burned-in text"] * bool(header.burned_in)
    if reasons and not options.accept_identified:
        return f"files may identify the patient ({', '.join(reasons)}; confirm with --accept_identified)"
    return ""


def _faults(files: Sequence[_File]) -> Iterator[str]:
    """Why the files of a series are not one stack of slices."""
    headers = [file.header for file in files]
    patients = Counter(header.patient_id for header in headers)
    if len(patients) > 1:
        sizes = ", ".join(f"{count:,}" for _, count in patients.most_common(NAMED))
        yield f"{len(patients):,} patients (groups of {sizes} slices)"
    thicknesses = [(header.thickness_mm,) if header.thickness_mm else () for header in headers]
    facts: dict[str, tuple[float, Sequence[tuple[float, ...]]]] = {  # name -> tolerance, values
        "pixel spacings": (SAME_PLACE, [header.spacing_mm or () for header in headers]),
        "slice thicknesses": (SAME_PLACE, thicknesses),
        "orientations": (SAME_COSINE, [header.orientation for header in headers]),
        "sizes": (0, [(header.rows, header.columns) for header in headers]),
    }
    for name, (tolerance, values) in facts.items():
        groups = _group_alike(values, tolerance)
        if len(groups) > 1:
            ordered = sorted(groups.items(), key=lambda group: -group[1])[:NAMED]
            named = ", ".join(f"{_describe(value)} in {count:,} slices" for value, count in ordered)
            yield f"{len(groups):,} {name} ({named})"
    uids = Counter(header.sop_uid for header in headers if header.sop_uid)
    if repeated := [uid for uid, count in uids.items() if count > 1]:
        yield f"{len(repeated):,} SOPInstanceUID occur more than once"
    elif min(_steps(files), default=SAME_PLACE) < SAME_PLACE:
        yield "several slices lie at one position"


def _group_alike(values: Sequence[tuple[float, ...]], tolerance: float) -> dict[tuple[float, ...], int]:
    """How many values there are within `tolerance` of each that is not of one before it."""
    groups: dict[tuple[float, ...], int] = {}
    for value in values:
        like = (
            other
            for other in groups
            if len(other) == len(value) and all(abs(a - b) <= tolerance for a, b in zip(other, value, strict=True))
        )
        first = next(like, value)
        groups[first] = groups.get(first, 0) + 1
    return groups


def _describe(value: tuple[float, ...]) -> str:
    return " x ".join(f"{number:.6g}" for number in value) or "none"


def _gaps(files: Sequence[_File]) -> Iterator[str]:
    steps = _steps(files)
    if steps and max(steps) - min(steps) > GAP * max(steps):
        yield f"the distance between slices varies from {min(steps):g} to {max(steps):g} mm; some may be missing"


def _steps(files: Sequence[_File]) -> list[float]:
    """Distances between the slices in their order, in mm."""
    places = [file.header.position_mm or 0.0 for file in files]
    return [round(after - before, 4) for before, after in pairwise(places)]


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
