"""The lock of a run's folder: two runs in one folder would overwrite each other."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xray_generator.types import StudioError

LOCK = "lock"  # the file; it stays, since another process may wait at it


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder and hold its lock; of a distributed run the first process holds it for all.

    Raises:
        StudioError: another training holds it, or the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a")
    except OSError as error:
        raise StudioError(f"Cannot write to {folder}: {error.strerror}.") from error
    with file:
        if not int(os.environ.get("RANK", "0")):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StudioError(f"Another training uses {folder}. Choose another --output_dir.") from None
        yield
