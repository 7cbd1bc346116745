"""Class folders: one sub-folder a class, with images at any depth, usually named `[Class]_[Number]`.

A label is the folder's name in lower case, with "_" for any run of other characters than a-z and 0-9: "Microtub Abnorm"
is `microtub_abnorm`. The split is stratified: the images of a class are sorted by a hash of seed, class and file name
(without suffix, so that converting a file does not move it); the last tenth is the test set, the tenth before it
validation, the rest training. It depends on the set of files, but not on the machine or the order of files.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from xray_generator.data.rows import Dataset, Row, Split, short_side
from xray_generator.data.tables import count_names
from xray_generator.types import CLASS_NAME, StudioError

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
SUFFIXES = (*PICTURES, ".dcm", ".dicom")
HELD_OUT = 0.1  # the share of a class in val, and in test
MIN_HELD_OUT = 5  # a class of at least so many images has one or more in val and in test
NUMBERED = re.compile(r"(.+?)[_ -]*\d+")  # [Class]_[Number]
FLAT = "images"  # names of folders in other layouts begin so: images, images128, images_normalized


def has_class_folders(folder: Path) -> bool:
    """Whether a folder has at least two sub-folders with PNG, JPEG or TIFF files, none of them of another layout.

    Folders of DICOM files alone are series of scans, not classes.
    """
    names = [path.name for path in _class_folders(folder, PICTURES)]
    return len(names) > 1 and not any(name.lower().startswith(FLAT) for name in names)


def read_class_folders(folder: Path, seed: int = 0) -> Dataset:
    """Read class folders; other files are left out, images whose name contradicts their folder are used and listed.

    Raises:
        StudioError: no images, a folder name without a letter or digit, or two folders of the same class.
    """
    rows: list[Row] = []
    notes: list[str] = []
    source = folder.resolve().name
    classes = _labels(_class_folders(folder))
    for label, parent in classes.items():
        files = list_files(parent)
        images = [path for path in files if path.suffix.lower() in PICTURES]
        others = [path.name for path in files if path.suffix.lower() not in PICTURES]
        notes += count_names(f"files of {parent.name}/ are not PNG, JPEG or TIFF images", others)
        odd = [path.name for path in images if _contradicts(path, label, classes)]
        notes += count_names(f"names in {parent.name}/ are those of another class; used as {label}", odd)
        splits = _stratify([path.relative_to(parent).with_suffix("").as_posix() for path in images], label, seed)
        rows += (
            Row(path, "", (), label=label, split=split, source=source, native_size=short_side(path))
            for path, split in zip(images, splits, strict=True)
        )
    if not rows:
        raise StudioError(f"{folder} holds no sub-folder with images ({', '.join(SUFFIXES)}).")
    return Dataset(tuple(rows), tuple(notes))


def class_id(name: str) -> str:
    """The label of a folder's name: a-z, 0-9 and _; empty where no such character is left."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", ascii_name.lower()).strip("_")


def _class_folders(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    parents = (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(path for path in parents if any(file.suffix.lower() in suffixes for file in list_files(path)))


def list_files(folder: Path) -> list[Path]:
    """All files below a folder except hidden ones, sorted."""
    inside = ((path, path.relative_to(folder)) for path in folder.rglob("*"))
    return sorted(path for path, name in inside if path.is_file() and not any(p.startswith(".") for p in name.parts))


def _labels(folders: Sequence[Path]) -> Mapping[str, Path]:
    labels: dict[str, Path] = {}
    for folder in folders:
        label = class_id(folder.name)
        if not CLASS_NAME.fullmatch(label):
            raise StudioError(f"The folder {folder.name!r} is no name of a class; use up to 64 letters, digits and _.")
        if label in labels:
            raise StudioError(f"{labels[label].name!r} and {folder.name!r} both mean the class {label}; merge them.")
        labels[label] = folder
    return labels


def _contradicts(path: Path, label: str, classes: Mapping[str, Path]) -> bool:
    """Whether the class in a name `[Class]_[Number]` is that of another folder."""
    match = NUMBERED.fullmatch(path.stem)
    named = class_id(match[1]) if match else ""
    return named != label and class_id(path.stem) != label and named in classes


def _stratify(names: Sequence[str], label: str, seed: int) -> list[Split]:
    """The split of each name, about 80 / 10 / 10."""

    def key(name: str) -> bytes:
        return hashlib.sha1(f"{seed}/{label}/{name}".encode(), usedforsecurity=False).digest()

    held_out = max(round(HELD_OUT * len(names)), int(len(names) >= MIN_HELD_OUT))
    ranks = {i: rank for rank, i in enumerate(sorted(range(len(names)), key=lambda i: (key(names[i]), i)))}
    num_train, num_known = len(names) - 2 * held_out, len(names) - held_out
    return ["train" if ranks[i] < num_train else "val" if ranks[i] < num_known else "test" for i in range(len(names))]
