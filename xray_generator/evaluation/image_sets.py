"""Sets of equally sized images, from rows or any folder, and equally large samples of two sets to compare."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from xray_generator.data.files import is_image, list_files
from xray_generator.data.masks import split_masks
from xray_generator.data.rows import Row, evenly
from xray_generator.data.tables import count_names, count_reasons
from xray_generator.images import FORMATS, read_image, resize_square
from xray_generator.reference_encoder.bootstrap import Places
from xray_generator.reference_encoder.labels import patients
from xray_generator.types import Image, StudioError


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Images of one size, with what is known of each."""

    name: str  # as records and figures call it: "generated", "real, test split"
    images: NDArray[np.float32]  # (N, S, S) in [0, 1]
    rows: tuple[Row, ...] = ()  # one per image; of generated images, the row whose prompt or class was used
    names: tuple[str, ...] = ()  # file names or seeds
    skipped: tuple[str, ...] = ()  # unreadable images, with the reason
    notes: tuple[str, ...] = ()  # changes made so that the images can be compared

    def __post_init__(self) -> None:
        for name, given in (("rows", self.rows), ("names", self.names)):
            if given and len(given) != len(self.images):
                raise StudioError(f"{self.name}: {len(given)} {name} for {len(self.images)} images.")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def digest(self) -> str:
        """Sixteen hex digits of a hash over the pixels."""
        return hashlib.sha256(np.ascontiguousarray(self.images).tobytes()).hexdigest()[:16]

    def take(self, places: Sequence[int] | NDArray[np.intp]) -> ImageSet:
        """The images at some places."""
        chosen = [int(place) for place in places]
        return replace(
            self,
            images=self.images[chosen],
            rows=tuple(self.rows[i] for i in chosen) if self.rows else (),
            names=tuple(self.names[i] for i in chosen) if self.names else (),
        )


@dataclass(frozen=True, slots=True)
class Split:
    """Places of three equally large samples; the two of real images share no patient."""

    generated: Places
    real: Places
    other: Places  # the yardstick: as far from `real` as real images are

    @property
    def size(self) -> int:
        """How many images each sample holds."""
        return len(self.real)


def matched_splits(
    generated: ImageSet, real: ImageSet, rng: np.random.Generator, num_splits: int = 5
) -> tuple[Split, ...]:
    """Random splits into equally large samples of min(generated, real / 2), since distances depend on the number.

    Each takes one image of a patient: several would make one half of the real images look far from the other. Of
    generated images it takes one of those made for a patient's rows, so that both sides have the same mix.
    """
    owners = groups(generated), groups(real)
    splits = []
    for _ in range(num_splits):
        ours, theirs = (_one_each(names, rng) for names in owners)
        size = min(len(ours), len(theirs) // 2)
        splits.append(Split(ours[:size], theirs[:size], theirs[len(theirs) - size :]))
    return tuple(splits)


def groups(images: ImageSet) -> NDArray[np.str_]:
    """(N,) the patient of each image, or the image itself where nothing is known of it."""
    if images.rows:
        return patients(images.rows)
    return np.array([f"{images.name} {i}" for i in range(len(images))], np.str_)


def _one_each(owners: NDArray[np.str_], rng: np.random.Generator) -> Places:
    """One place of each owner, owners and places in random order."""
    order = rng.permutation(len(owners))
    _, first = np.unique(owners[order], return_index=True)
    return np.asarray(order[rng.permutation(first)])


def from_rows(rows: Sequence[Row], size: int, name: str) -> ImageSet:
    """The images of rows, short side to `size`, center crop; unreadable ones are listed."""
    images: list[Image] = []
    kept, skipped = [], []
    for row in rows:
        try:
            images.append(resize_square(row.image(), size))
            kept.append(row)
        except StudioError as error:
            skipped.append(str(error))
    pixels = np.stack(images) if images else np.empty((0, size, size), np.float32)
    return ImageSet(name, pixels, tuple(kept), tuple(row.path.name for row in kept), tuple(skipped))


def from_folder(folder: Path, size: int, name: str, limit: int | None = None) -> ImageSet:
    """Every image below a folder: gray, short side to `size`, center crop; unreadable ones are listed.

    Args:
        folder: with images at any depth.
        size: pixels a side of all images.
        name: of the set.
        limit: at most so many, spread evenly over the names in order.

    Raises:
        StudioError: no such folder, or no readable image in it; the first reason is named.
    """
    every = list_images(folder)
    paths, masks = split_masks(every, folder)
    paths, masks = (paths, masks) if paths else (every, [])
    chosen = paths if limit is None else evenly(paths, limit)
    images: list[Image] = []
    read, skipped = [], []
    remarks: dict[str, list[str]] = defaultdict(list)
    for path in chosen:
        try:
            found: list[str] = []
            images.append(resize_square(read_image(path, found), size))
            read.append(path)
            for note in found:
                remarks[note].append(path.name)
        except (StudioError, OSError) as error:
            skipped.append(f"{path.name}: {error}")
    if not images:
        raise StudioError(f"{folder} holds no readable image. {skipped[0]}")
    notes = (*_changes(read, name, size), *(f"{name}: {note}." for note in count_reasons(remarks)))
    notes += tuple(
        f"{name}: {note}."
        for note in count_names("files are masks of images and were left out", [path.name for path in masks])
    )
    if len(chosen) < len(paths):
        notes = (f"{name}: {len(chosen):,} of {len(paths):,} images of the folder were used, evenly spread.", *notes)
    names = tuple(path.relative_to(folder).as_posix() for path in read)
    return ImageSet(name, np.stack(images), (), names, tuple(skipped), notes)


def list_images(folder: Path) -> list[Path]:
    """The image files below a folder in order, DICOM known by its content; StudioError where there are none."""
    if not folder.is_dir():
        raise StudioError(f"There is no folder {folder}.")
    files = list_files(folder)
    paths = [path for path in files if is_image(path)]
    if not paths:
        kinds = sorted({path.suffix.lower() for path in files if path.suffix})
        others = f" Its files are {', '.join(kinds)}; save the images as PNG." if kinds else ""
        raise StudioError(f"{folder} holds no image ({', '.join(FORMATS)}).{others}")
    return paths


def common_size(folder: Path, most: int) -> int:
    """The median short side of a folder's images in pixels, at most `most`; `most` where no header can be read."""
    sides = sorted(min(header[1]) for path in list_images(folder) if (header := _header(path)))
    return min(sides[len(sides) // 2], most) if sides else most


def _header(path: Path) -> tuple[str, tuple[int, int]] | None:
    """Mode and size of an image file; None where PIL cannot tell."""
    try:
        with PILImage.open(path, formats=["PNG", "JPEG", "TIFF"]) as picture:
            return picture.mode, picture.size
    except (OSError, ValueError, SyntaxError, PILImage.DecompressionBombError):  # DICOM, or damaged
        return None


def _changes(paths: Sequence[Path], name: str, size: int) -> tuple[str, ...]:
    headers = {path.name: header for path in paths if (header := _header(path))}
    colored = [file for file, (mode, _) in headers.items() if mode in ("RGB", "RGBA", "CMYK", "YCbCr", "P")]
    scaled = [file for file, (_, sides) in headers.items() if sides != (size, size)]
    notes = (
        *count_names("images are stored in colors and were read as gray", colored),
        *count_names(f"images were scaled or cropped to {size} x {size} pixels", scaled),
    )
    return tuple(f"{name}: {note}." for note in notes)
