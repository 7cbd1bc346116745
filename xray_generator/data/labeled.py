"""The labeled pack: `metadata.csv` with one class a row in `label`, and the images that it names.

Required columns: image, label. Optional: caption, split, source, license, orig_width, orig_height. `extra.csv` may name
the patient of an image, or a group of similar images that must share a split. An empty label or `unlabeled` means "not
known"; an empty split is derived from a hash of the patient, group or file.
"""

from __future__ import annotations

from pathlib import Path

from xray_generator.data.captioned import METADATA, native_size, read_listed, read_split
from xray_generator.data.rows import Dataset, Row
from xray_generator.data.tables import Line, count_names, read_table
from xray_generator.dicom import is_dicom
from xray_generator.types import CLASS_NAME, StudioError

EXTRA = "extra.csv"
NEEDED = ("image", "label")
UNKNOWN = ("", "unlabeled")


def read_labeled(folder: Path) -> Dataset:
    """Read a labeled pack; missing, repeated and unsafe file names are left out and counted.

    Raises:
        StudioError: no metadata.csv, a fault in a table (named with its line), or not one image left.
    """
    owners: dict[str, str] = {}  # image -> its patient, or the group of like images that it belongs to
    if (folder / EXTRA).is_file():
        lines = read_table(folder / EXTRA, ("image",))
        owners = {line["image"]: line["patient_id"] or line["group"] for line in lines}
    dicom: list[str] = []

    def to_row(line: Line, path: Path) -> Row | None:
        if is_dicom(path):
            dicom.append(line["image"])
            return None
        return _to_row(line, path, owners.get(line["image"], ""))

    dataset = read_listed(folder / METADATA, folder, NEEDED, to_row)
    skipped = dataset.skipped + count_names("DICOM files are left out: they are read as chest CT series only", dicom)
    if not dataset.rows:
        raise StudioError(f"{folder.name} holds no readable image. {'; '.join(skipped)}")
    return Dataset(dataset.rows, skipped)


def _to_row(line: Line, path: Path, owner: str) -> Row:
    label = line["label"].lower()
    if label not in UNKNOWN and not CLASS_NAME.fullmatch(label):
        raise line.error(f"label {line['label']!r}; a class is named by 1 to 64 of a-z, 0-9 and _.")
    return Row(
        path=path,
        prompt=line["caption"],
        findings=(),
        patient_id=owner,
        split=read_split(line, owner or path.name),
        source=line["source"],
        license=line["license"],
        label="" if label in UNKNOWN else label,
        native_size=native_size(line, path),
    )
