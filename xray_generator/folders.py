"""Folders that are filled aside and then put in their place, so that a kill at any moment leaves a whole one there."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STAGED, OLD = ".tmp-", ".old-"  # what is being filled, and what was in its place
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of `folder` once all went well."""
    place = folder.with_name(f"{STAGED}{folder.name}")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        yield place
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    replace_folder(place, folder)


def replace_folder(place: Path, folder: Path) -> None:
    """Put a finished folder in the place of an older one, which goes last: in one step where the system can do that."""
    restore(folder)
    old = folder.with_name(f"{OLD}{folder.name}")
    shutil.rmtree(old, ignore_errors=True)
    if folder.is_dir():
        if exchange(place, folder):
            shutil.rmtree(place, ignore_errors=True)
            return
        folder.replace(old)
    place.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


def restore(folder: Path) -> None:
    """Bring back what a kill between the two steps of `replace_folder` left aside."""
    old = folder.with_name(f"{OLD}{folder.name}")
    if old.is_dir() and not folder.exists():
        with suppress(OSError):  # the disk is read-only, or another process was faster
            old.replace(folder)


def restore_all(parent: Path) -> None:
    """`restore` each folder in `parent`."""
    for old in parent.glob(f"{OLD}*"):
        restore(old.with_name(old.name.removeprefix(OLD)))


def exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step; False, and nothing was done, where the system or the disk cannot."""
    if sys.platform != "linux":
        return False
    swap = getattr(ctypes.CDLL(None), "renameat2", None)
    return bool(swap and swap(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0)
