"""Make the small samples that ship in `dataset/` from full packs; a captioned pack gives both layouts, with Indiana's.

    python -m xray_generator.data.sample --pack DIR --output_dir dataset
    python -m xray_generator.data.sample --pack LABELED_DIR --output_dir dataset/lung_ct

The choice depends on file names only, so the same pack always gives the same sample.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import shutil
import sys
from collections.abc import Container, Hashable, Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from xray_generator.console import exit_code
from xray_generator.data.captioned import IMAGES, METADATA, PARTS, READING, read_captioned
from xray_generator.data.labeled import read_labeled
from xray_generator.data.read import PROJECTIONS, REPORTS, is_labeled
from xray_generator.data.rows import Row, Split, class_names, finding_name, split_by_patient
from xray_generator.images import encode_png

COUNTS: dict[tuple[str, Split], int] = {  # by the folder of the images
    (IMAGES, "train"): 96,
    (IMAGES, "val"): 22,
    (IMAGES, "test"): 22,
    ("images128", "train"): 44,
    ("images128", "val"): 8,
    ("images128", "test"): 8,
}
CLASS_COUNTS: dict[Split, int] = {"train": 6, "val": 2, "test": 2}  # of each class of a labeled pack
INDIANA_COUNTS: dict[Split, int] = {"train": 18, "val": 3, "test": 3}
INDIANA_IMAGES = "images/images_normalized"
REPORT_COLUMNS = ("uid", "MeSH", "Problems", "image", "indication", "comparison", "findings", "impression")
PROJECTION_COLUMNS = ("uid", "filename", "projection")
NORMAL_FINDINGS = "The lungs are clear. The heart size is normal. No pleural effusion or pneumothorax."
NORMAL_IMPRESSION = "No acute cardiopulmonary abnormality."


def choose(rows: Iterable[Row], count: int) -> tuple[Row, ...]:
    """Choose up to `count` rows, one per patient, in turn from each source, normal or abnormal, and from each finding.

    Within a group, rows are in the order of the SHA-1 of their file names.
    """
    groups: dict[Hashable, dict[Hashable, list[Row]]] = {}
    for row in sorted(rows, key=_hash):
        outer, inner = (row.source, "no_finding" in row.findings), (row.findings[:1], row.findings[-1:])
        groups.setdefault(outer, {}).setdefault(inner, []).append(row)
    largest_first = (sorted(parts.values(), key=len, reverse=True) for parts in groups.values())
    streams = [_in_turn(parts) for parts in largest_first]
    return tuple(itertools.islice(_one_per_patient(_in_turn(streams)), count))


def write_captioned(rows: Sequence[Row], pack: Path, output_dir: Path) -> None:
    """Copy the files and table lines of `rows`; `has_512` becomes 0, since larger versions are not copied."""
    if (pack / READING).is_file():
        _write_lines(_read_lines(pack / READING, {row.path.name for row in rows}), output_dir / READING)
    for table, images in PARTS:
        names = {row.path.name for row in rows if row.path.parent.name == images}
        if names:
            lines = _read_lines(pack / table, names)
            lines = lines.assign(has_512="0") if "has_512" in lines else lines
            _copy(lines, pack, output_dir, table, images)


def write_labeled(rows: Sequence[Row], pack: Path, output_dir: Path) -> None:
    """Copy the files and table lines of `rows` of a labeled pack; a split that was left open is written out."""
    splits = {row.path.relative_to(pack).as_posix(): row.split for row in rows}
    lines = _read_lines(pack / METADATA, splits)
    _copy(lines.assign(split=lines.image.map(splits)), pack, output_dir, METADATA, ".")


def _read_lines(table: Path, names: Container[str]) -> pd.DataFrame:
    """The lines of a table for some images; every cell is text."""
    lines = pd.read_csv(table, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    return lines[[name in names for name in lines.image]]


def _copy(lines: pd.DataFrame, pack: Path, output_dir: Path, table: str, images: str) -> None:
    for name in lines.image:
        path = output_dir / images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(pack / images / name, path)
    _write_lines(lines, output_dir / table)


def _write_lines(lines: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines.to_csv(path, index=False, lineterminator="\n")


def write_indiana(rows: Sequence[Row], output_dir: Path) -> None:
    """Write `rows` in the Indiana layout, with template reports made from the labels.

    Each uid is chosen so that its split by hash equals the split of the image in the pack.
    """
    (output_dir / INDIANA_IMAGES).mkdir(parents=True, exist_ok=True)
    uids = {split: _uids(split) for split in INDIANA_COUNTS}
    reports, projections = [], []
    for row in rows:
        uid = next(uids[row.split])
        name = f"{uid}_IM-{int(uid):04d}-1001.dcm.png"
        problems = ";".join(_words(row)) or "normal"
        reports.append((uid, problems, problems, "Xray Chest", "", "", *report_text(row)))
        projections.append((uid, name, "Frontal"))
        (output_dir / INDIANA_IMAGES / name).write_bytes(encode_png(row.image()))
    for path, header, lines in ((REPORTS, REPORT_COLUMNS, reports), (PROJECTIONS, PROJECTION_COLUMNS, projections)):
        pd.DataFrame(lines, columns=list(header)).to_csv(output_dir / path, index=False, lineterminator="\n")


def report_text(row: Row) -> tuple[str, str]:
    """Findings and impression as text, made from the labels."""
    names = _words(row)
    if not names:
        return NORMAL_FINDINGS, NORMAL_IMPRESSION
    listed = ", ".join(names)
    return f"There is evidence of {listed}.", f"{listed[0].upper()}{listed[1:]}."


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the sample; return 0, or 1 with a message on a fault."""
    parser = argparse.ArgumentParser("python -m xray_generator.data.sample", description=__doc__.splitlines()[0])
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    options = parser.parse_args(arguments)
    return exit_code(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    if is_labeled(options.pack):
        rows = read_labeled(options.pack).rows
        chosen = [
            row
            for label in class_names(rows)
            for split, count in CLASS_COUNTS.items()
            for row in choose((row for row in rows if row.label == label and row.split == split), count)
        ]
        write_labeled(chosen, options.pack, options.output_dir)
        sys.stdout.write(f"{len(chosen)} images in {options.output_dir}\n")
        return
    rows = read_captioned(options.pack).rows
    chosen = [
        row
        for (images, split), count in COUNTS.items()
        for row in choose((r for r in rows if r.path.parent.name == images and r.split == split), count)
    ]
    write_captioned(chosen, options.pack, options.output_dir)
    large = [row for row in chosen if row.path.parent.name == IMAGES]
    films = [row for split, n in INDIANA_COUNTS.items() for row in choose((r for r in large if r.split == split), n)]
    write_indiana(films, options.output_dir)
    sys.stdout.write(f"{len(chosen)} images and {len(films)} template reports in {options.output_dir}\n")


def _hash(row: Row) -> str:
    return hashlib.sha1(row.path.name.encode(), usedforsecurity=False).hexdigest()


def _in_turn(queues: Iterable[Iterable[Row]]) -> Iterator[Row]:
    return (row for turn in itertools.zip_longest(*queues) for row in turn if row is not None)


def _one_per_patient(rows: Iterable[Row]) -> Iterator[Row]:
    seen = set()
    for row in rows:
        if not row.patient_id or row.patient_id not in seen:
            seen.add(row.patient_id)
            yield row


def _uids(split: Split) -> Iterator[str]:
    return (uid for number in itertools.count(1) if split_by_patient(uid := str(number)) == split)


def _words(row: Row) -> list[str]:
    return [finding_name(finding) for finding in row.findings if finding != "no_finding"]


if __name__ == "__main__":
    raise SystemExit(main())
