"""The files of a data folder: one walk for every reader, and one way to find a file that a table names."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from xray_generator.dicom import is_dicom
from xray_generator.types import StudioError, quote

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
CLUTTER = (
    *("__macosx", "icon\r", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("@eadir", "@recycle", "#recycle", "#snapshot", "lost+found", "__pycache__"),
)
HIDDEN = (".", "~$")  # how names begin that no person gave


def list_files(folder: Path) -> list[Path]:
    """All files below a folder, sorted; linked folders are followed, clutter is left out.

    Raises:
        StudioError: a folder cannot be read, or a name in it is no text.
    """
    return sorted(_walk(folder, frozenset()))


def list_folders(folder: Path) -> list[Path]:
    """The folders directly in a folder, links among them, sorted; without clutter; errors as in `list_files`."""
    return sorted(path for path in _entries(folder) if path.is_dir())


def is_clutter(name: str) -> bool:
    """Whether a name is that of a hidden file or of one that an operating system adds by itself."""
    return name.startswith(HIDDEN) or name.lower() in CLUTTER


def is_picture(path: Path) -> bool:
    """Whether a file's name is that of a PNG, JPEG or TIFF image."""
    return path.suffix.lower() in PICTURES


def is_image(path: Path) -> bool:
    """Whether a file is named as a PNG, JPEG or TIFF image, or is DICOM by its content, whatever its name."""
    return is_picture(path) or is_dicom(path)


def is_inside(name: str) -> bool:
    """Whether a file name in a table stays within its folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    return bool(path.name) and not path.is_absolute() and ".." not in path.parts


class Finder:
    """Finds the files of a folder by the names in a table, also where these are written in another way.

    A name may have backslashes, its letters and accents may be composed otherwise (macOS), and, where only one file can
    be meant, its capitals may differ; such names are kept in `other_case`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.other_case: list[str] = []
        self._files: dict[str, list[Path]] | None = None

    def find(self, name: str) -> Path | None:
        """The file that a name means; None where there is none, or where the name leads out of the folder."""
        if not is_inside(name):
            return None
        name = PurePosixPath(name.replace("\\", "/")).as_posix()
        try:
            if (path := self.folder / name).is_file():
                return path
        except OSError:  # no file has so long a name
            return None
        found = self._index().get(_folded(name), [])
        same = [path for path in found if _composed(path.relative_to(self.folder).as_posix()) == _composed(name)]
        if same:
            return same[0]
        if len(found) != 1:
            return None
        self.other_case.append(name)
        return found[0]

    def elsewhere(self, name: str) -> str:
        """A remark on a name that was not found, if one file has its last part: " (there is images/a.png)"."""
        last = _folded(PurePosixPath(name.replace("\\", "/")).name)
        places = [path for paths in self._index().values() for path in paths if _folded(path.name) == last]
        return f" (there is {places[0].relative_to(self.folder).as_posix()})" if len(places) == 1 else ""

    def _index(self) -> dict[str, list[Path]]:
        if self._files is None:
            self._files = defaultdict(list)
            for path in list_files(self.folder) if self.folder.is_dir() else ():
                self._files[_folded(path.relative_to(self.folder).as_posix())].append(path)
        return self._files


def _walk(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    place = os.path.realpath(folder)
    if any(Path(one).is_relative_to(place) for one in above):  # a link to a folder that holds it
        return
    for path in _entries(folder):
        if path.is_dir():
            yield from _walk(path, above | {place})
        elif path.is_file():
            yield path


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder, without clutter; StudioError: it cannot be read, or holds a name that is no text."""
    try:
        entries = [path for path in folder.iterdir() if not is_clutter(path.name)]
    except OSError as error:
        raise StudioError(f"The folder {folder} cannot be read: {error.strerror}.") from error
    for path in entries:
        if not _is_text(path.name):
            raise StudioError(f"The folder {folder.name} holds a name that is no UTF-8 text: {quote(path.name)}.")
    return entries


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes of another encoding
        return False
    return True


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return _composed(name).casefold()
