"""What captioned and labeled packs share: tables whose lines name an image, its facts, its patient and its split.

Optional columns: caption, view, age, sex, age_group, source, license, orig_width, orig_height, split, patient_id, group
(of similar images that must share a split). `extra.csv` may name patient and group as well. An empty cell means "not
known"; an empty split is that of another image of the same patient, else derived from a hash of the patient, group or
file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast, get_args

from xray_generator.data.files import Finder
from xray_generator.data.rows import Dataset, Row, Split, short_side, split_by_patient
from xray_generator.data.tables import Line, count_names, describe_blanks, read_table

EXTRA = "extra.csv"
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
    tables = [(table, images, read_table(table, needed)) for table, images in parts]
    owners = _read_owners(folder / EXTRA)
    stated: dict[tuple[str, str], Split] = {}  # source and patient -> the split that a line states
    for _, _, lines in tables:
        for line in lines:
            if (owner := _owner(line, owners)) and (split := _stated_split(line)):
                stated.setdefault((line["source"], owner), split)
    rows: list[Row] = []
    skipped: tuple[str, ...] = ()
    for table, images, listed in tables:
        finder, found, missing, repeated = Finder(images), set[Path](), list[str](), list[str]()
        for line in listed:
            name = line["image"]
            if (path := finder.find(name)) is None:
                missing.append(name or f"line {line.number}")
            elif path in found:
                repeated.append(name)
            else:
                found.add(path)
                row = to_row(line, _read_row(line, path, _owner(line, owners), stated))
                rows += [row] if row else []
        where = f" in {images.name}/" if images != table.parent else ""
        skipped += count_names(f"images of {table.name} are missing{where}", missing)
        skipped += count_names(f"rows of {table.name} repeat an image", repeated)
        skipped += count_names(f"names in {table.name} differ in capitals from their file", finder.other_case)
        skipped += describe_blanks(listed)
    return Dataset(tuple(rows), skipped)


def _read_owners(table: Path) -> Mapping[str, str]:
    """The patient of each image that a table names, or the group of similar images that it belongs to."""
    lines = read_table(table, ("image",)) if table.is_file() else ()
    return {line["image"]: owner for line in lines if (owner := _patient_or_group(line))}


def _owner(line: Line, owners: Mapping[str, str]) -> str:
    return owners.get(line["image"]) or _patient_or_group(line)


def _patient_or_group(line: Line) -> str:
    return line.identifier("patient_id") or line.identifier("group")


def _read_row(line: Line, path: Path, owner: str, stated: Mapping[tuple[str, str], Split]) -> Row:
    sex = line.fact("sex").upper()
    if sex not in ("", "M", "F"):
        raise line.error(f"sex {line['sex']!r}; allowed: M, F or empty.")
    return Row(
        path=path,
        prompt=line["caption"],
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
    split = line.fact("split").lower()
    if split not in ("", *get_args(Split)):
        raise line.error(f"split {line['split']!r}; allowed: {', '.join(get_args(Split))} or empty.")
    return cast(Split, split) if split else None


def _age(line: Line) -> int | None:
    age = line.integer("age")
    if age is not None and not 0 <= age <= MAX_AGE:
        raise line.error(f"age {line['age']!r}; allowed: 0 to {MAX_AGE} years or empty.")
    return age
