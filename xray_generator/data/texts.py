"""Captions in text files beside the images, `film.png` and `film.txt`, as tools that train adapters keep them."""

from __future__ import annotations

from pathlib import Path

from xray_generator.data.files import is_picture, list_files
from xray_generator.data.masks import split_masks
from xray_generator.data.rows import Dataset, Row, short_side, split_by_patient
from xray_generator.data.tables import count_names, read_text

TEXT = ".txt"


def caption_of(image: Path) -> str:
    """The text beside an image, white space collapsed; empty where there is none. StudioError: it is no UTF-8 text."""
    path = image.with_suffix(TEXT)
    return " ".join(read_text(path).split()) if path.is_file() and path.read_bytes().strip() else ""


def has_captions(folder: Path) -> bool:
    """Whether an image in a folder, at any depth, has a text beside it."""
    return any(is_picture(path) and path.with_suffix(TEXT).is_file() for path in list_files(folder))


def read_texts(folder: Path) -> Dataset:
    """The images of a folder at any depth, each with the text beside it; masks are left out.

    The split is that of a hash of the file's name, about 90 / 5 / 5.

    Raises:
        StudioError: a text cannot be read.
    """
    images, masks = split_masks([path for path in list_files(folder) if is_picture(path)], folder)
    source = folder.resolve().name
    rows = [
        Row(
            path,
            caption_of(path),
            (),
            split=split_by_patient(path.relative_to(folder).with_suffix("").as_posix()),
            source=source,
            native_size=short_side(path),
        )
        for path in images
    ]
    silent = [row.path.name for row in rows if not row.prompt]
    return Dataset(
        tuple(rows),
        (
            *count_names("images have no text beside them", silent),
            *count_names("files are masks of images", [path.name for path in masks]),
        ),
    )
