"""Where the datasets of a server lie: a folder, and the folders in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xray_generator.data.captioned import METADATA
from xray_generator.data.class_folders import FLAT, has_class_folders
from xray_generator.data.ct_series import holds_ct
from xray_generator.data.read import PROJECTIONS, REPORTS, read_dataset
from xray_generator.data.rows import Dataset


@dataclass(frozen=True, slots=True)
class Place:
    """Where a dataset lies; a folder with a pack and with Indiana's tables is two."""

    folder: Path
    is_indiana: bool = False  # read by Indiana's tables, though the folder holds a pack

    @property
    def tables(self) -> tuple[Path, ...]:
        """The tables that must be named to read it: Indiana's reports and projections, or none."""
        return (self.folder / REPORTS, self.folder / PROJECTIONS) if self.is_indiana else ()

    def read(self) -> Dataset:
        """Read it; errors as for `read_dataset`."""
        reports, projections = self.tables or (None, None)
        return read_dataset(self.folder, reports, projections)


def find_places(root: Path) -> tuple[Place, ...]:
    """The datasets of a folder and of its sub-folders, by name; folders of classes or scans are parts of one."""
    if not root.is_dir():
        return ()
    own = _find_own(root)
    if own and not _has_tables(root):
        return own
    inside = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith((FLAT, ".")))
    return (*own, *(place for folder in inside for place in _find_own(folder)))


def _find_own(folder: Path) -> tuple[Place, ...]:
    if not (_has_tables(folder) or holds_ct(folder) or has_class_folders(folder)):
        return ()
    has_both = (folder / METADATA).is_file() and _has_indiana(folder)
    return (Place(folder), Place(folder, is_indiana=True)) if has_both else (Place(folder),)


def _has_tables(folder: Path) -> bool:
    return (folder / METADATA).is_file() or _has_indiana(folder)


def _has_indiana(folder: Path) -> bool:
    return (folder / REPORTS).is_file() and (folder / PROJECTIONS).is_file()
