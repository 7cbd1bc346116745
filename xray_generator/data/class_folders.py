"""Class folders: one sub-folder a class, with images at any depth, usually named `[Class]_[Number]`.

A label is the folder's name in lower case, with "_" for any run of other characters than a-z and 0-9: "Microtub Abnorm"
is `microtub_abnorm`. Folders named as splits (train, valid, Testing, test_set) may hold the class folders or
lie in them, and then say the split. Otherwise it is stratified: the images of a class are sorted by a hash of seed,
class and file name (without suffix, so that converting a file does not move it); the last tenth is the test set, the
tenth before it validation, the rest training. It depends on the set of files, but not on the machine or the order of
files. Numbered parts (fold_1, batch 2) may hold the class folders, too. A text file beside an image is its caption.
Masks are no images of a class: see `masks`.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xray_generator.data.files import is_picture, list_files, list_folders
from xray_generator.data.masks import are_masks, split_masks
from xray_generator.data.rows import Dataset, Row, Split, named_split, short_side
from xray_generator.data.tables import count_names
from xray_generator.data.texts import TEXT, caption_of
from xray_generator.types import CLASS_NAME, StudioError, quote

HELD_OUT = 0.1  # the share of a class in val, and in test
MIN_HELD_OUT = 5  # a class of at least so many images has one or more in val and in test
NUMBERED = re.compile(r"(.+?)[_ -]*\d+")  # [Class]_[Number]
FLAT = "images"  # names of folders in other layouts begin so: images, images128, images_normalized
PART = re.compile(r"(?:fold|cv|part|batch|split)[ _-]*\d+", re.IGNORECASE)  # a folder that says nothing of a class


@dataclass(frozen=True, slots=True)
class _Class:
    """A folder of a class, and the split that a folder above it states."""

    folder: Path
    split: Split | None


def has_class_folders(folder: Path) -> bool:
    """Whether a folder has at least two classes with PNG, JPEG or TIFF files, and is of no other layout.

    Folders of DICOM files alone are series of scans, not classes.
    """
    names = {class_id(part.folder.name) for part in _class_folders(folder)}
    return len(names) > 1 and not any(name.startswith(FLAT) for name in names)


def read_class_folders(folder: Path, seed: int = 0) -> Dataset:
    """Read class folders; other files and masks are left out, images whose name contradicts their folder are listed.

    Raises:
        StudioError: no images, a folder name without a letter or digit, or two folders of the same class.
    """
    rows: list[Row] = []
    notes: list[str] = []
    source = folder.resolve().name
    found = _class_folders(folder)
    classes = _labels(found)
    masks = sorted(set(list_folders(folder)).difference(_without_masks(folder)))
    notes += count_names("folders hold masks and are no classes", [path.name for path in masks])
    read = {*masks, *(part.folder for part in found)}
    loose = [path for path in list_files(folder) if is_picture(path) and read.isdisjoint(path.parents)]
    notes += count_names("images lie in no folder of a class", [path.relative_to(folder).as_posix() for path in loose])
    for label, parts in classes.items():
        free: list[Path] = []  # images of which no folder states the split
        for part in parts:
            images, remarks = _images(part.folder)
            notes += remarks
            odd = [path.name for path in images if _contradicts(path, label, classes)]
            name = part.folder.relative_to(folder).as_posix()
            notes += count_names(f"names in {name}/ are those of another class; used as {label}", odd)
            inner = _inner_splits(part.folder)
            notes += _describe_inner(part.folder, images, inner)
            for path in images:
                split = part.split or inner.get(path.relative_to(part.folder).parts[0])
                if split is None:
                    free.append(path)
                else:
                    rows.append(_row(path, label, split, source))
        names = [_name_in(path, parts).with_suffix("").as_posix() for path in free]
        rows += (
            _row(path, label, split, source) for path, split in zip(free, _stratify(names, label, seed), strict=True)
        )
    if not rows:
        raise StudioError(f"{folder} holds no sub-folder with images (PNG, JPEG, TIFF).")
    return Dataset(tuple(rows), tuple(notes))


def _row(path: Path, label: str, split: Split, source: str) -> Row:
    return Row(path, caption_of(path), (), label=label, split=split, source=source, native_size=short_side(path))


def class_id(name: str) -> str:
    """The label of a folder's name: a-z, 0-9 and _; empty where no such character is left."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", ascii_name.lower()).strip("_")


def find_classes(folder: Path) -> Path | None:
    """The folder whose sub-folders are classes: this one, or the only folder in it, and so on; None: there is none."""
    while not has_class_folders(folder):
        inside = list_folders(folder)
        if len(inside) != 1:
            return None
        folder = inside[0]
    return folder


def _class_folders(folder: Path, split: Split | None = None) -> list[_Class]:
    """The folders of classes; where folders are named as splits or parts, those within them."""
    folders = _without_masks(folder)
    if len(folders) == 1 and folders[0].name.startswith(FLAT) and split and list_folders(folders[0]):
        return _class_folders(folders[0], split)
    above = [path for path in folders if named_split(path.name) or PART.fullmatch(path.name)]
    inner = [part for path in above for part in _class_folders(path, named_split(path.name) or split)]
    if len(above) == len(folders) or len({part.split for part in inner}) > 1:
        return inner
    return [_Class(path, split) for path in folders if any(map(is_picture, list_files(path)))]


def _without_masks(folder: Path) -> list[Path]:
    folders = list_folders(folder)
    return [path for path in folders if not are_masks(path.name, [other.name for other in folders])]


def _images(folder: Path) -> tuple[list[Path], tuple[str, ...]]:
    """The images of a class, and a sentence on each kind of file that is none."""
    files = list_files(folder)
    images, masks = split_masks([path for path in files if is_picture(path)], folder)
    texts = {path.with_suffix(TEXT) for path in images}
    others = [path.name for path in files if not is_picture(path) and path not in texts]
    stems = Counter(path.with_suffix("") for path in images)
    alike = [path.name for path in images if stems[path.with_suffix("")] > 1]
    notes = (
        *count_names(f"files of {folder.name}/ are not PNG, JPEG or TIFF images", others),
        *count_names(f"files of {folder.name}/ are masks of images", [path.name for path in masks]),
        *count_names(f"images of {folder.name}/ differ only in the ending of their name; are some masks?", alike),
    )
    return images, notes


def _inner_splits(folder: Path) -> Mapping[str, Split]:
    """The folders of a class that are named as splits, if all of them are."""
    splits = {path.name: named_split(path.name) for path in _without_masks(folder)}
    known = {name: split for name, split in splits.items() if split}
    return known if len(known) == len(splits) else {}


def _describe_inner(folder: Path, images: Sequence[Path], splits: Mapping[str, Split]) -> Iterator[str]:
    """A sentence where a class holds several folders, whose names do not count."""
    inside = (path.relative_to(folder).parts for path in images)
    names = sorted({parts[0] for parts in inside if len(parts) > 1} - splits.keys())
    if len(names) > 1:
        yield from count_names(f"folders in {folder.name}/ are read as that class, whatever their names", names)


def _name_in(path: Path, parts: Sequence[_Class]) -> Path:
    return path.relative_to(next(part.folder for part in parts if path.is_relative_to(part.folder)))


def _labels(parts: Sequence[_Class]) -> Mapping[str, list[_Class]]:
    labels: dict[str, list[_Class]] = {}
    for part in parts:
        name, label = part.folder.name, class_id(part.folder.name)
        if not CLASS_NAME.fullmatch(label):
            raise StudioError(f"The folder {quote(name)} is no name of a class; use up to 64 letters, digits and _.")
        same = labels.setdefault(label, [])
        if twice := [other.folder.name for other in same if other.folder.parent == part.folder.parent]:
            raise StudioError(f"{quote(twice[0])} and {quote(name)} both mean the class {label}; merge them.")
        same.append(part)
    return labels


def _contradicts(path: Path, label: str, classes: Mapping[str, object]) -> bool:
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
