"""Memory and disk of this machine, and what the studio takes of them."""

from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of main memory."""

    used: int  # by this process
    total: int
    available: int  # to this and other programs


def read_memory() -> Memory:
    """The main memory now."""
    machine = psutil.virtual_memory()
    return Memory(psutil.Process().memory_info().rss, machine.total, machine.available)


def peak_bytes() -> int:
    """The most main memory that this process has taken so far."""
    now = psutil.Process().memory_info()
    if hasattr(now, "peak_wset"):  # on Windows, which has no `resource`
        return int(now.peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 2**10  # getrusage counts bytes there, kibibytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def free_bytes(folder: Path) -> int:
    """Bytes that are free on the disk of a folder, or of the nearest one above that is there."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; 0 where there is none."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # gone since it was listed
            total += path.lstat().st_size if path.is_file() and not path.is_symlink() else 0
    return total


def empty_folder(folder: Path) -> None:
    """Delete all that is in a folder; what cannot be deleted stays."""
    for path in folder.glob("*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def size_text(num_bytes: int) -> str:
    """A size for people: "512 KB", "1.2 GB"; 1 KB is 1,000 bytes."""
    size, unit = num_bytes / 1_000, "KB"
    for larger in ("MB", "GB", "TB"):
        if size < 1_000:
            break
        size, unit = size / 1_000, larger
    return f"{size:.1f} {unit}" if 0 < size < 10 else f"{size:,.0f} {unit}"
