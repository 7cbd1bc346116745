"""Make the small samples that ship in `dataset/` from the full packs: of a captioned one in both its layouts.

    python -m xray_generator.data.sample --pack DIR --output_dir dataset
    python -m xray_generator.data.sample --pack LABELLED_DIR --output_dir dataset/lung_ct

The choice is a function of file names only, so that the same pack always gives the same sample.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import itertools
import shutil
import sys
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path

from xray_generator.console import exit_code
from xray_generator.data.captioned import METADATA, PARTS, read_captioned
from xray_generator.data.labeled import read_labeled
from xray_generator.data.read import PROJECTIONS, REPORTS, is_labeled
from xray_generator.data.rows import Row, Split, class_names, finding_name, split_by_patient
from xray_generator.images import encode_png

COUNTS: dict[tuple[str, Split], int] = {  # by the folder of the images
    ("images", "train"): 96,
    ("images", "val"): 22,
    ("images", "test"): 22,
    ("images128", "train"): 44,
    ("images128", "val"): 8,
    ("images128", "test"): 8,
}
CLASS_COUNTS: dict[Split, int] = {"train": 6, "val": 2, "test": 2}  # of each class of a labeled pack
INDIANA_COUNTS: dict[Split, int] = {"train": 18, "val": 3, "test": 3}
INDIANA_IMAGES = "images/images_normalized"
REPORT_COLUMNS = ("uid", "MeSH", "Problems", "image", "indication", "comparison", "findings", "impression")
NORMAL_FINDINGS = "The lungs are clear. The heart size is normal. No pleural effusion or pneumothorax."
NORMAL_IMPRESSION = "No acute cardiopulmonary abnormality."


def choose(rows: Iterable[Row], count: int) -> tuple[Row, ...]:
    """Take `count` rows of as many patients, evenly from the sources, from normal and abnormal, then from findings.

    Inside a group the order is the hash of the file name.
    """
    groups: dict[Hashable, dict[Hashable, list[Row]]] = {}
    for row in sorted(rows, key=_hash):
        outer, inner = (row.source, "no_finding" in row.findings), (row.findings[:1], row.findings[-1:])
        groups.setdefault(outer, {}).setdefault(inner, []).append(row)
    largest_first = (sorted(parts.values(), key=len, reverse=True) for parts in groups.values())
    streams = [_in_turn(parts) for parts in largest_first]
    return tuple(itertools.islice(_one_per_patient(_in_turn(streams)), count))


def write_captioned(rows: Sequence[Row], pack: Path, output_dir: Path) -> None:
    """Copy the files and the lines of `rows` as they stand in the pack, but for `has_512`: those images stay behind."""
    for table, images in PARTS:
        chosen = {row.path.name for row in rows if row.path.parent.name == images}
        if not chosen:
            continue
        with (pack / table).open(encoding="utf-8-sig", newline="") as source:
            reader = csv.DictReader(source)
            lines = [line for line in reader if line["image"] in chosen]
        (output_dir / images).mkdir(parents=True, exist_ok=True)
        cells = ([text if name != "has_512" else "0" for name, text in line.items()] for line in lines)
        _write_csv(output_dir / table, reader.fieldnames or (), cells)
        for line in lines:
            shutil.copyfile(pack / images / line["image"], output_dir / images / line["image"])


def write_labeled(rows: Sequence[Row], pack: Path, output_dir: Path) -> None:
    """Copy the files and the lines of `rows` as they stand in the labeled pack."""
    splits = {row.path.relative_to(pack).as_posix(): row.split for row in rows}
    with (pack / METADATA).open(encoding="utf-8-sig", newline="") as source:
        reader = csv.DictReader(source)
        lines = [line | {"split": splits[line["image"]]} for line in reader if line["image"] in splits]
    for line in lines:
        path = output_dir / line["image"]
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(pack / line["image"], path)
    header = list(dict.fromkeys([*(reader.fieldnames or ()), "split"]))
    _write_csv(output_dir / METADATA, header, ([line[name] for name in header] for line in lines))


def write_indiana(rows: Sequence[Row], output_dir: Path) -> None:
    """Write `rows` as the Indiana layout; the report texts are made from the labels, by a template.

    Each uid is chosen so that its split by hash is the split of the image in the pack.
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
    _write_csv(output_dir / REPORTS, REPORT_COLUMNS, reports)
    _write_csv(output_dir / PROJECTIONS, ("uid", "filename", "projection"), projections)


def report_text(row: Row) -> tuple[str, str]:
    """Findings and impression in words, from the labels alone."""
    names = _words(row)
    if not names:
        return NORMAL_FINDINGS, NORMAL_IMPRESSION
    listed = ", ".join(names)
    return f"There is evidence of {listed}.", f"{listed[0].upper()}{listed[1:]}."


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the sample; return 0, or 1 with a message when the pack cannot be read."""
    parser = argparse.ArgumentParser("python -m xray_generator.data.sample", description=__doc__.splitlines()[0])
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    options = parser.parse_args(arguments)
    return exit_code(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    if is_labeled(options.pack):
        _sample_labeled(options.pack, options.output_dir)
        return
    rows = read_captioned(options.pack).rows
    chosen = [
        row
        for (images, split), count in COUNTS.items()
        for row in choose((r for r in rows if r.path.parent.name == images and r.split == split), count)
    ]
    write_captioned(chosen, options.pack, options.output_dir)
    large = [row for row in chosen if row.path.parent.name == "images"]
    films = [row for split, n in INDIANA_COUNTS.items() for row in choose((r for r in large if r.split == split), n)]
    write_indiana(films, options.output_dir)
    sys.stdout.write(f"{len(chosen)} images and {len(films)} template reports in {options.output_dir}\n")


def _sample_labeled(pack: Path, output_dir: Path) -> None:
    rows = read_labeled(pack).rows
    chosen = [
        row
        for label in class_names(rows)
        for split, count in CLASS_COUNTS.items()
        for row in choose((row for row in rows if row.label == label and row.split == split), count)
    ]
    write_labeled(chosen, pack, output_dir)
    sys.stdout.write(f"{len(chosen)} images in {output_dir}\n")


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


def _write_csv(path: Path, header: Sequence[str], lines: Iterable[Iterable[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *lines])


if __name__ == "__main__":
    raise SystemExit(main())
