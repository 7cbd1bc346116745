"""Check compressed DICOM pixels before decoding: is a decoder installed, and does the stream's size match the header?

A JPEG or JPEG 2000 stream states its own size and is decoded at that size, whatever the DICOM header says.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from xray_generator.dicom.header import plain_text
from xray_generator.types import StudioError

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

JPEG = "1.2.840.10008.1.2.4."
JPEG_2000 = (
    "90",
    "91",
    "92",
    "93",
    "201",
    "202",
    "203",
)  # ends of its syntaxes; the rest is JPEG and JPEG-LS
DECODERS = {True: "pylibjpeg-openjpeg", False: "pylibjpeg-libjpeg (its license is GPL 3.0)"}  # by is JPEG 2000


def check_compressed(dataset: Dataset) -> None:
    """Refuse pixels that no installed package decodes, and a stream whose size differs from the header.

    Raises:
        StudioError: either; it names the compression and the missing package.
    """
    from pydicom.encaps import generate_frames

    syntax = dataset.file_meta.TransferSyntaxUID
    _check_decoder(syntax)
    if syntax.startswith(JPEG):
        stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
        size = _jpeg_2000_size(stream) if _is_jpeg_2000(syntax) else _jpeg_size(stream)
        if size != (dataset.Columns, dataset.Rows, 1):
            raise StudioError("The compressed pixels are damaged, or of another size than the header states.")


def _is_jpeg_2000(syntax: str) -> bool:
    return syntax.removeprefix(JPEG) in JPEG_2000


def _check_decoder(syntax: UID) -> None:
    from pydicom.pixels.decoders.base import get_decoder

    name = plain_text(syntax.name)
    try:
        is_available = get_decoder(syntax).is_available
    except NotImplementedError:
        raise StudioError(f"The pixels are compressed as {name}, which is not read. Save them uncompressed.") from None
    if not is_available:
        package = DECODERS[_is_jpeg_2000(syntax)]
        raise StudioError(f"The pixels are compressed as {name}. To read them: pip install pylibjpeg {package}.")


def _jpeg_2000_size(stream: bytes) -> tuple[int, ...]:
    """Width, height and components by the SIZ marker (ITU-T T.800, A.5.1)."""
    start = stream.find(b"\xff\x4f\xff\x51")
    if start < 0:
        return ()
    right, bottom, left, top, num_components = struct.unpack_from(">4L16xH", stream, start + 8)
    return right - left, bottom - top, num_components


def _jpeg_size(stream: bytes) -> tuple[int, ...]:
    """Width, height and components by the first frame marker of a JPEG or JPEG-LS stream (ITU-T T.81, B.2.2)."""
    place = 2
    while stream[place : place + 1] == b"\xff":
        marker, length = stream[place + 1], struct.unpack_from(">H", stream, place + 2)[0]
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            height, width, num_components = struct.unpack_from(">HHB", stream, place + 5)
            return width, height, num_components
        place += 1 if marker == 0xFF else 2 + length
    return ()
