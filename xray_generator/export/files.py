"""Write results to disk: folders that are checked to be writable, files that are complete or absent; JSON and ZIP."""

from __future__ import annotations

import io
import json
import os
import threading
import zipfile
from collections.abc import Iterable
from pathlib import Path

from xray_generator.types import StudioError

ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the ZIP format's zero


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


def write_json(path: Path, data: object) -> Path:
    """Write plain data as JSON that people can read, atomically; StudioError if it cannot be written."""
    return write_file(path, f"{json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)}\n".encode())


def zip_files(files: Iterable[tuple[str, str | bytes]]) -> bytes:
    """A ZIP of files, name and content: in the given order, and equal for equal ones, without compression.

    What is large in it is PNG, which is compressed already.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name, ZIP_TIME), content)
    return buffer.getvalue()
