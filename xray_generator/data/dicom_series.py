"""DICOM files as series of slices, recognized by content and ordered along the slice normal, never by file name."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from xray_generator.data.files import list_files
from xray_generator.data.tables import count_names, count_reasons
from xray_generator.dicom import Header, is_dicom, read_header
from xray_generator.types import StudioError

GAP = 0.02  # largest relative difference of the distances between slices in a series without gaps
SAME_PLACE = 1e-3  # mm
SAME_COSINE = 0.01
NAMED = 5  # most reasons in an error


@dataclass(frozen=True, slots=True)
class SeriesFile:
    """A slice of a series."""

    path: Path
    header: Header

    def patient_id(self, folder: Path) -> str:
        """The patient id (hashed if the file is not de-identified); without one, the first folder below `folder`."""
        if not self.header.patient_id:
            parts = self.path.relative_to(folder).parts
            return parts[0] if len(parts) > 1 else folder.name
        if self.header.is_deidentified:
            return self.header.patient_id
        return "P-" + hashlib.sha256(self.header.patient_id.encode()).hexdigest()[:12]


def find_series(
    folder: Path, check: Callable[[Header], None], *, accept_identified: bool = False, accept_synthetic: bool = False
) -> tuple[list[tuple[SeriesFile, ...]], tuple[str, ...]]:
    """The series below a folder, each in the order of its slices; and sentences on what was left out, and on gaps.

    Series that mix patients, spacings or sizes, or that repeat an object, are refused; so are files with identifying
    tags or burned-in text and synthetic ones, unless they are accepted.

    Args:
        folder: holds DICOM files at any depth.
        check: StudioError for a header that is not of the wanted kind.
        accept_identified: use files that may identify the patient.
        accept_synthetic: use files that say that they are synthetic.
    """
    refused: dict[str, list[str]] = defaultdict(list)
    groups: dict[str, list[SeriesFile]] = defaultdict(list)
    for path in list_files(folder):
        if not is_dicom(path):
            refused["files are not DICOM"].append(_name(path, folder))
            continue
        try:
            header = read_header(path)
            check(header)
        except (StudioError, OSError) as error:
            refused[f"DICOM files are left out ({str(error).rstrip('.')})"].append(_name(path, folder))
            continue
        reason = _objection(header, accept_identified=accept_identified, accept_synthetic=accept_synthetic)
        if reason:
            refused[reason].append(_name(path, folder))
        else:
            groups[header.series_uid or str(path.parent)].append(SeriesFile(path, header))
    series: list[tuple[SeriesFile, ...]] = []
    notes: list[str] = []
    for files in groups.values():
        ordered = sorted(files, key=lambda file: (file.header.position_mm or 0.0, str(file.path)))
        where = f"series in {_name(ordered[0].path.parent, folder)}/ (…{ordered[0].header.series_uid[-8:]})"
        if faults := tuple(_faults(ordered)):
            notes.append(f"{where}: refused as a stack of {len(files):,} slices: {'; '.join(faults)}")
            continue
        notes += [f"{where}: {gap}" for gap in _gaps(ordered)]
        series.append(tuple(ordered))
    unclear = [_name(file.path, folder) for files in groups.values() for file in files if file.header.burned_in is None]
    said = count_names("files do not say whether text is burned into their pixels", unclear)
    return series, (*count_reasons(refused), *notes, *said)


def _objection(header: Header, *, accept_identified: bool, accept_synthetic: bool) -> str:
    """Why a readable slice must not be used without confirmation; empty if it may."""
    if header.is_synthetic and not accept_synthetic:
        return "files say that they are synthetic (SyntheticData = YES; use them with --accept_synthetic)"
    reasons = list(header.identifying) + ["burned-in text"] * bool(header.burned_in)
    if reasons and not accept_identified:
        return f"files may identify the patient ({', '.join(reasons)}; confirm with --accept_identified)"
    return ""


def _faults(files: Sequence[SeriesFile]) -> Iterator[str]:
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


def _gaps(files: Sequence[SeriesFile]) -> Iterator[str]:
    steps = _steps(files)
    if steps and max(steps) - min(steps) > GAP * max(steps):
        yield f"the distance between slices varies from {min(steps):g} to {max(steps):g} mm; some may be missing"


def _steps(files: Sequence[SeriesFile]) -> list[float]:
    """Distances between the slices in their order, in mm."""
    places = [file.header.position_mm or 0.0 for file in files]
    return [round(after - before, 4) for before, after in pairwise(places)]


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
