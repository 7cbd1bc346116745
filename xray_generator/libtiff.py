"""The C library by which Pillow decodes TIFF files prints every fault of a file to stderr; here it is told not to."""

from __future__ import annotations

import ctypes
import ctypes.util
from contextlib import suppress
from functools import cache
from pathlib import Path

import PIL


@cache
def silence() -> None:
    """Let it print nothing: what matters of a fault is in Pillow's error. Without effect where it is not found."""
    folder = Path(PIL.__file__).parent
    brought = [*(folder.parent / "pillow.libs").glob("libtiff*"), *(folder / ".dylibs").glob("libtiff*")]
    for name in map(str, brought or filter(None, [ctypes.util.find_library("tiff")])):
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(name)
            library.TIFFSetErrorHandler(None)
            library.TIFFSetWarningHandler(None)
