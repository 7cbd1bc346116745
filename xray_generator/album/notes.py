"""What a person thinks of an image: stars, a favorite, collections; a small file each, which no index can lose."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xray_generator.config import dump, parse
from xray_generator.export.files import make_folder, write_json
from xray_generator.types import StudioError, normalize_text, quote

SUFFIX = ".note.json"
MAX_RATING = 5
MAX_COLLECTIONS, MAX_NAME_CHARACTERS = 20, 60


@dataclass(frozen=True, slots=True)
class Note:
    """What a person says of an image. A collection is there as long as an image is in it.

    Raises:
        StudioError: a rating outside of 0 to 5, more than 20 collections, or a name of one that is empty or longer than
            60 characters.
    """

    rating: int = 0  # stars; 0: not rated
    is_favorite: bool = False
    collections: tuple[str, ...] = ()  # in alphabetical order

    def __post_init__(self) -> None:
        if not 0 <= self.rating <= MAX_RATING:
            raise StudioError(f"A rating is 1 to {MAX_RATING} stars, or 0 for none, not {quote(self.rating)}.")
        names = tuple(sorted({normalize_text(name) for name in self.collections}))
        if wrong := [name for name in names if not 0 < len(name) <= MAX_NAME_CHARACTERS]:
            raise StudioError(
                f"The name of a collection has 1 to {MAX_NAME_CHARACTERS} characters, not {quote(wrong[0])}."
            )
        if len(names) > MAX_COLLECTIONS:
            raise StudioError(f"An image is in at most {MAX_COLLECTIONS} collections, not {len(names)}.")
        object.__setattr__(self, "collections", names)


def note_path(folder: Path, name: str) -> Path:
    """Where the note on an image is kept, by the image's file name."""
    return folder / f"{name}{SUFFIX}"


def read_note(folder: Path, name: str) -> Note:
    """The note on an image; an empty one where there is none that can be read."""
    try:
        return parse(Note, json.loads(note_path(folder, name).read_bytes()))
    except (OSError, ValueError, RecursionError):  # absent, damaged, or of another version
        return Note()


def change_note(folder: Path, name: str, **changes: Any) -> Note:  # noqa: ANN401 - fields of Note
    """Replace fields of the note on an image, and return the new one.

    Raises:
        StudioError: a value is not allowed, or the folder takes none.
    """
    note = replace(read_note(folder, name), **changes)
    path = note_path(folder, name)
    if note == Note():
        path.unlink(missing_ok=True)
        return note
    make_folder(folder)
    write_json(path, dump(note))
    return note
