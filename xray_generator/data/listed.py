"""What captioned and labeled packs share: tables whose lines name an image, its facts, its patient and its split.

Optional columns: caption, view, age, sex, age_group, source, license, orig_width, orig_height, split, patient_id, group
(of similar images that must share a split). `extra.csv` may name patient and group as well. An empty cell means "not
known"; an empty split is that of another image of the same patient, else derived from a hash of the patient, group or
file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast, get_args

from xray_generator.data.files import Finder
from xray_generator.data.rows import Dataset, Row, Split, named_split, short_side, split_by_patient
from xray_generator.data.tables import NAMED_AT_MOST, Line, count_names, describe_blanks, read_header, read_table
from xray_generator.types import quote

EXTRA = "extra.csv"
OWNERS = (  # columns that name the patient, or what its images have in common; the first that a line fills counts
    *(
        "patient_id",
        "patientid",
        "patient",
        "subject_id",
        "subjectid",
        "subject",
        "participant_id",
        "participant",
        "mrn",
    ),
    *("group", "group_id", "case_id", "case", "study_id", "study", "exam_id", "accession"),
)
MAX_AGE = 120


def read_listed(
    folder: Path,
    parts: Sequence[tuple[Path, Path]],
    needed: Sequence[str],
    to_row: Callable[[Line, Row], Row | None],
) -> Dataset:
    """The images that the tables of a pack list; missing, repeated and unsafe file names are left out and counted.

    Args:
        folder: the pack, with `extra.csv` or without.
        parts: each table and the folder of its images.
        needed: the columns that every table must have.
        to_row: completes a row, of which all facts that both packs share are known; None leaves out the image, which
            the caller then notes.

    Raises:
        StudioError: a fault in a table, named with its line.
    """
    tables = [(table, Finder(images), read_table(table, needed)) for table, images in parts]
    owners, skipped = _read_owners(folder / EXTRA, [finder for _, finder, _ in tables])
    stated: dict[tuple[str, str], Split] = {}  # source and patient -> the split that a line states
    for _, finder, lines in tables:
        for line in lines:
            owner = owners.get(finder.find(line["image"])) or _patient_or_group(line)
            if owner and (split := _stated_split(line)):
                stated.setdefault((line["source"], owner), split)
    rows: list[Row] = []
    for table, finder, listed in tables:
        images, found, missing, repeated = finder.folder, set[Path](), list[str](), list[str]()
        finder.other_case.clear()
        for line in listed:
            name = line["image"]
            if (path := finder.find(name)) is None:
                missing.append(name or f"line {line.number}")
            elif path in found:
                repeated.append(name)
            else:
                found.add(path)
                owner = owners.get(path) or _patient_or_group(line)
                row = to_row(line, _read_row(line, path, owner, stated))
                rows += [row] if row else []
        where = f" in {images.name}/" if images != table.parent else ""
        skipped += count_names(f"images of {table.name} are missing{where}", _hinted(missing, finder))
        skipped += count_names(f"rows of {table.name} repeat an image", repeated)
        skipped += count_names(f"names in {table.name} differ in capitals from their file", finder.other_case)
        skipped += describe_blanks(listed)
        skipped += tuple(_describe_owners(table))
    return Dataset(tuple(rows), (*skipped, *count_names("ids of patients are alike and count as two", _alike(rows))))


def _read_owners(table: Path, finders: Sequence[Finder]) -> tuple[Mapping[Path | None, str], tuple[str, ...]]:
    """The patient or group of each image that a table names, and a sentence on names that no image has."""
    owners: dict[Path | None, str] = {}
    unknown: list[str] = []
    for line in read_table(table, ("image",)) if table.is_file() else ():
        paths = [path for finder in finders if (path := finder.find(line["image"]))]
        owners |= dict.fromkeys(paths, owner) if (owner := _patient_or_group(line)) else {}
        unknown += [] if paths else [line["image"]]
    notes = count_names(f"images of {table.name} are missing", _hinted(unknown, finders[0]))
    return owners, (*notes, *_describe_owners(table))


def _hinted(names: Sequence[str], finder: Finder) -> list[str]:
    """Names that were not found; those that a message shows with the place of a file of that name."""
    return [f"{name}{finder.elsewhere(name) if i < NAMED_AT_MOST else ''}" for i, name in enumerate(names)]


def _patient_or_group(line: Line) -> str:
    return next((owner for column in OWNERS if (owner := line.identifier(column))), "")


def _describe_owners(table: Path) -> Iterator[str]:
    """A sentence on the column that is read as the patient, where that is not its usual name."""
    column = next((name for name in OWNERS if name in read_header(table)), "")
    if column not in ("", "patient_id", "group"):
        yield f"the column {column} of {table.name} is read as that of patients, whose images share a split"


def _alike(rows: Sequence[Row]) -> list[str]:
    """Ids that differ only in capitals or leading zeros: "007 and 7"."""
    spelled: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        spelled[row.source, row.patient_id.casefold().lstrip("0")].add(row.patient_id)
    return [" and ".join(sorted(ids)) for ids in spelled.values() if len(ids) > 1]


def _read_row(line: Line, path: Path, owner: str, stated: Mapping[tuple[str, str], Split]) -> Row:
    sex = line.fact("sex").upper()
    if sex not in ("", "M", "F"):
        raise line.error(f"sex {quote(line['sex'])}; allowed: M, F or empty.")
    return Row(
        path=path,
        prompt=line.fact("caption"),
        findings=(),
        view=line.fact("view"),
        age=_age(line),
        sex=cast(Literal["M", "F", ""], sex),
        age_group=line.fact("age_group"),
        patient_id=owner,
        split=_stated_split(line) or stated.get((line["source"], owner)) or split_by_patient(owner or path.name),
        source=line["source"],
        license=line["license"],
        native_size=_native_size(line, path),
    )


def _native_size(line: Line, path: Path) -> int:
    """The short side in pixels of the file or of the original, whichever is smaller; 0: not known."""
    sides = (short_side(path), line.integer("orig_width"), line.integer("orig_height"))
    return min((side for side in sides if side), default=0)


def _stated_split(line: Line) -> Split | None:
    split = line.fact("split")
    if split and named_split(split) is None:
        raise line.error(f"split {quote(line['split'])}; allowed: {', '.join(get_args(Split))} or empty.")
    return named_split(split)


def _age(line: Line) -> int | None:
    age = line.integer("age")
    if age is not None and not 0 <= age <= MAX_AGE:
        raise line.error(f"age {quote(line['age'])}; allowed: 0 to {MAX_AGE} years or empty.")
    return age
