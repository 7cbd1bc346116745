"""Class folders: one sub-folder a class, images in it at any depth, by custom named `[Class]_[Number]`.

A label is the folder's name in lower case, all but a-z and 0-9 as one "_": "Microtub Abnorm" is `microtub_abnorm`.
The split is stratified: within each class the images stand in the order of a hash of seed, class and file name (no
suffix, so that a converted copy stays where it was); the last tenth is the test set, the tenth before it validation,
the rest training. So it depends neither on the machine nor on the order of files, but on which other files there are.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from xray_generator.data.rows import Dataset, Row, Split, short_side
from xray_generator.data.tables import counted
from xray_generator.types import CLASS_NAME, StudioError

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
SUFFIXES = (*PICTURES, ".dcm", ".dicom")
HELD_OUT = 0.1  # of a class: so much for val, and for test
MIN_HELD_OUT = 5  # a class of so many images has at least one in val and one in test
NUMBERED = re.compile(r"(.+?)[_ -]*\d+")  # [Class]_[Number]
FLAT = "images"  # folders of other layouts begin so: images, images128, images_normalized


def has_class_folders(folder: Path) -> bool:
    """Whether a folder holds at least two sub-folders with PNG, JPEG or TIFF files, none of another layout.

    Folders of nothing but DICOM are the series of scans, not classes.
    """
    names = [path.name for path in _class_folders(folder, PICTURES)]
    return len(names) > 1 and not any(name.lower().startswith(FLAT) for name in names)


def read_class_folders(folder: Path, seed: int = 0) -> Dataset:
    """Read class folders; files of other types are left out, names that contradict their folder are listed and kept.

    Raises:
        StudioError: no images, a folder's name without a letter or digit, or two folders of the same class.
    """
    rows: list[Row] = []
    notes: list[str] = []
    source = folder.resolve().name
    classes = _labels(_class_folders(folder))
    for label, parent in classes.items():
        files = _files(parent)
        images = [path for path in files if path.suffix.lower() in PICTURES]
        notes += counted(
            f"files of {parent.name}/ are no PNG, JPEG or TIFF images", [p.name for p in files if p not in set(images)]
        )
        odd = [path.name for path in images if _contradicts(path, label, classes)]
        notes += counted(f"names in {parent.name}/ speak of another class; kept as {label}", odd)
        splits = _stratify([path.relative_to(parent).with_suffix("").as_posix() for path in images], label, seed)
        rows += (
            Row(
                path=path,
                prompt="",
                findings=(),
                label=label,
                split=split,
                source=source,
                native_size=short_side(path),
            )
            for path, split in zip(images, splits, strict=True)
        )
    if not rows:
        raise StudioError(f"{folder} holds no sub-folder with images ({', '.join(SUFFIXES)}).")
    return Dataset(tuple(rows), tuple(notes))


def class_id(name: str) -> str:
    """A folder's name as a label of a-z, 0-9 and _; empty where nothing is left."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", ascii_name.lower()).strip("_")


def _class_folders(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    parents = (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(path for path in parents if any(file.suffix.lower() in suffixes for file in _files(path)))


def _files(folder: Path) -> list[Path]:
    """All visible files below a folder, in a fixed order."""
    inside = ((path, path.relative_to(folder)) for path in folder.rglob("*"))
    return sorted(path for path, name in inside if path.is_file() and not any(p.startswith(".") for p in name.parts))


def _labels(folders: Sequence[Path]) -> Mapping[str, Path]:
    labels: dict[str, Path] = {}
    for folder in folders:
        label = class_id(folder.name)
        if not CLASS_NAME.fullmatch(label):
            raise StudioError(f"The folder {folder.name!r} names no class; use up to 64 letters, digits and _.")
        if label in labels:
            raise StudioError(f"{labels[label].name!r} and {folder.name!r} are both the class {label}; join them.")
        labels[label] = folder
    return labels


def _contradicts(path: Path, label: str, classes: Mapping[str, Path]) -> bool:
    """Whether the class part of `[Class]_[Number]` is that of another folder."""
    match = NUMBERED.fullmatch(path.stem)
    named = class_id(match[1]) if match else ""
    return named != label and class_id(path.stem) != label and named in classes


def _stratify(names: Sequence[str], label: str, seed: int) -> list[Split]:
    """A split for each name: about 80 / 10 / 10, the same for the same set of names."""

    def key(name: str) -> bytes:
        return hashlib.sha1(f"{seed}/{label}/{name}".encode(), usedforsecurity=False).digest()

    held_out = max(round(HELD_OUT * len(names)), int(len(names) >= MIN_HELD_OUT))
    ranks = {i: rank for rank, i in enumerate(sorted(range(len(names)), key=lambda i: (key(names[i]), i)))}
    num_train, num_known = len(names) - 2 * held_out, len(names) - held_out
    return ["train" if ranks[i] < num_train else "val" if ranks[i] < num_known else "test" for i in range(len(names))]
