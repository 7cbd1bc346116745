"""Write results to disk: folders that are checked to be writable, and files that are complete or absent."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from xray_generator.types import StudioError


def make_folder(folder: Path) -> None:
    """Make a folder for results; StudioError if it cannot be made or written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudioError(f"Cannot write to {folder}: {error.strerror}.") from error
    if not os.access(folder, os.W_OK):
        raise StudioError(f"Cannot write to {folder}: no permission.")


def write_file(path: Path, data: bytes) -> Path:
    """Write a file atomically; StudioError if it cannot be written."""
    staged = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        staged.write_bytes(data)
        staged.replace(path)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise StudioError(f"Cannot write {path}: {error.strerror}.") from error
    return path
