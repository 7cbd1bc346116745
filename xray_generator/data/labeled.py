"""The labeled pack: `metadata.csv` with one class a row in `label`, and the images that it names.

Columns: image and label are needed; caption, split, source, license, orig_width and orig_height are read where they
exist. `extra.csv` beside it may name the patient of an image, or the group of like images that must share a split. An
empty label or `unlabeled` means "not known"; an empty split is filled by the hash of patient, group or file.
"""

from __future__ import annotations

from pathlib import Path

from xray_generator.data.captioned import METADATA, read_split
from xray_generator.data.rows import Dataset, Row, short_side
from xray_generator.data.tables import Record, counted, is_inside, read_table
from xray_generator.dicom import is_dicom
from xray_generator.types import CLASS_NAME, StudioError

EXTRA = "extra.csv"
NEEDED = ("image", "label")
UNKNOWN = ("", "unlabeled")


def read_labeled(folder: Path) -> Dataset:
    """Read a labeled pack; a missing, repeated or unsafe file name is left out and counted.

    Raises:
        StudioError: no metadata.csv, a fault in a table (named with its line), or not one image left.
    """
    owners = _owners(folder / EXTRA)
    rows: dict[str, Row] = {}
    missing, repeated, foreign = [], [], []
    for record in read_table(folder / METADATA, NEEDED):
        name = record["image"]
        if name in rows:
            repeated.append(name)
        elif is_inside(name) and is_dicom(folder / name):
            foreign.append(name)
        elif is_inside(name) and (folder / name).is_file():
            rows[name] = _row(record, folder / name, owners.get(name, ""))
        else:
            missing.append(name or f"line {record.line}")
    skipped = counted(f"images of {METADATA} are missing", missing)
    skipped += counted(f"rows of {METADATA} repeat an image", repeated)
    skipped += counted("images are DICOM files, whose headers are checked as chest CT series only", foreign)
    if not rows:
        raise StudioError(f"{folder.name} holds no readable image. {'; '.join(skipped)}")
    return Dataset(tuple(rows.values()), skipped)


def _owners(table: Path) -> dict[str, str]:
    """The patient of an image, or the group that it belongs to, where a table tells."""
    if not table.is_file():
        return {}
    return {record["image"]: record["patient_id"] or record["group"] for record in read_table(table, ("image",))}


def _row(record: Record, path: Path, owner: str) -> Row:
    label = record["label"].lower()
    if label not in UNKNOWN and not CLASS_NAME.fullmatch(label):
        raise record.error(f"label {record['label']!r}; a class is named by 1 to 64 of a-z, 0-9 and _.")
    sides = (short_side(path), record.integer("orig_width"), record.integer("orig_height"))
    return Row(
        path=path,
        prompt=record["caption"],
        findings=(),
        patient_id=owner,
        split=read_split(record, owner or path.name),
        source=record["source"],
        license=record["license"],
        label="" if label in UNKNOWN else label,
        native_size=min((side for side in sides if side), default=0),
    )
