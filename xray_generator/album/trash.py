"""Images that were deleted, kept for 30 days, so that a deletion can be undone."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from xray_generator.album.folders import Folders
from xray_generator.album.notes import note_path
from xray_generator.export.files import make_folder
from xray_generator.types import StudioError

TRASH = ".trash"  # a folder among the person's images: <nanoseconds since 1970>/<own or shared>/<file>
KEPT_DAYS = 30


@dataclass(frozen=True, slots=True)
class Deletion:
    """Images that were deleted together."""

    id: str
    names: tuple[str, ...]  # of the images, sorted
    at: float  # seconds since 1970


def delete(names: Iterable[str], folders: Folders) -> Deletion:
    """Move images, by their file names, and the notes on them out of the gallery; names that are gone are left out.

    Raises:
        StudioError: a file cannot be moved.
    """
    batch = folders.own / TRASH / str(time.time_ns())
    for name in {Path(name).name for name in names}:
        for place, folder in folders.places():
            _move(folder / name, batch / place)
        _move(note_path(folders.own, name), batch / "own")
    empty_trash(folders)
    return _read(batch)


def undo(deletion_id: str, folders: Folders) -> Deletion:
    """Bring the images of a deletion and the notes on them back; what is no longer there is left out.

    Raises:
        StudioError: a file cannot be moved.
    """
    batch = folders.own / TRASH / Path(deletion_id).name
    deletion = _read(batch)
    for place, folder in folders.places():
        for path in sorted((batch / place).glob("*")):
            _move(path, folder)
    if not any(path.is_file() for path in batch.rglob("*")):
        shutil.rmtree(batch, ignore_errors=True)
    return deletion


def list_deletions(folders: Folders) -> list[Deletion]:
    """What can be undone, the last one first."""
    found = (_read(batch) for batch in (folders.own / TRASH).glob("*") if batch.name.isdigit())
    return sorted((one for one in found if one.names), key=lambda one: one.at, reverse=True)


def empty_trash(folders: Folders, *, all_of_it: bool = False) -> None:
    """Delete for good what was deleted more than 30 days ago, or all."""
    oldest = time.time() - KEPT_DAYS * 24 * 3_600
    for batch in (folders.own / TRASH).glob("*"):
        if batch.name.isdigit() and (all_of_it or int(batch.name) / 1e9 < oldest):
            shutil.rmtree(batch, ignore_errors=True)


def _read(batch: Path) -> Deletion:
    return Deletion(batch.name, tuple(sorted({path.name for path in batch.glob("*/*.png")})), int(batch.name) / 1e9)


def _move(path: Path, folder: Path) -> None:
    if not path.is_file():
        return
    make_folder(folder)
    try:
        path.replace(folder / path.name)
    except OSError as error:
        raise StudioError(f"Cannot move {path.name}: {error.strerror}.") from error
