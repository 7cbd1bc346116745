"""Read DICOM files: headers, axial CT slices in Hounsfield units, and other gray images as a display shows them.

The header is checked before anything is decompressed, and only the tags of an allow-list are kept. Whatever pydicom and
its decoders raise becomes a StudioError with the reason.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from xray_generator.dicom.compression import check_compressed
from xray_generator.dicom.header import (
    IDENTIFYING,
    READ,
    Header,
    check_axial_ct,
    plain_text,
    to_header,
    turn_to_patient,
)
from xray_generator.dicom.hounsfield import Window
from xray_generator.types import Image, StudioError

if TYPE_CHECKING:
    from pydicom import Dataset

T = TypeVar("T")
MAX_PIXELS = 40_000_000
MAX_BYTES = 2**28
AIR, LOWEST, HIGHEST = -1000.0, -1024.0, 3071.0  # HU; the ends of the 12-bit scale that scanners use
FULL = Window((LOWEST + HIGHEST) / 2, HIGHEST - LOWEST)
SIGN = slice(128, 132)
USUAL = 0.999  # the share of the pixels that decide whether an image without a window looks dark
FOREIGN = {  # first bytes of other files: the preamble of 128 bytes may hold a program (CVE-2019-11687)
    b"MZ": "Windows program",
    b"\x7fELF": "Linux program",
    b"PK": "ZIP archive",
    b"#!": "script",
    b"\xca\xfe\xba\xbe": "Mac or Java program",
    b"\xce\xfa\xed\xfe": "Mac program",
    b"\xcf\xfa\xed\xfe": "Mac program",
    b"%PDF": "PDF document",
}
DEFLATED = (  # transfer syntaxes whose header can be read only after unpacking to an unbounded size
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.4.95",
    "1.2.840.10008.1.2.4.205",
    "1.2.840.10008.1.2.8.1",
)
DIRECTORY = "1.2.840.10008.1.3.10"  # a DICOMDIR: it names other files, which are never followed
NEEDED = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation")
FRAMES = ("SamplesPerPixel", "HighBit", "PlanarConfiguration", "ExtendedOffsetTable", "ExtendedOffsetTableLengths")
VALUES = ("PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept", "RescaleType")
TABLES = ("ModalityLUTSequence", "VOILUTSequence", "VOILUTFunction")
PIXELS = (*NEEDED, *FRAMES, *VALUES, *TABLES, "PixelData")
GRAY = ("MONOCHROME1", "MONOCHROME2")


@dataclass(frozen=True, slots=True)
class Slice:
    """An axial CT slice in Hounsfield units; along a row to the patient's left, down a column to the back."""

    hu: NDArray[np.float32]  # (H, W), -1024 to 3071 HU; air (-1000 HU) outside the field of view
    header: Header
    notes: tuple[str, ...] = ()  # what was done to the values; header.notes are not repeated


def is_dicom(source: Path | bytes) -> bool:
    """Whether a file has the DICOM mark; False for one that cannot be opened."""
    if isinstance(source, bytes):
        return source[SIGN] == b"DICM"
    try:
        with source.open("rb") as stream:
            return is_dicom(stream.read(SIGN.stop))
    except OSError:
        return False


def lacks_mark(data: bytes) -> bool:
    """Whether bytes look like little endian DICOM without preamble: the mark, or a tag (0002,00xx) or (0008,00xx)."""
    begins = data[:4] == b"DICM" or (data[:2] in (b"\x02\0", b"\x08\0") and data[3:4] == b"\0")
    return begins and not is_dicom(data)


def read_header(source: Path | bytes) -> Header:
    """Read the header of a DICOM image and check that its pixels are there, without decoding them.

    Raises:
        StudioError: not DICOM, a program in disguise, damaged, cut short, or without an image.
    """
    with _faults(), _stream(source) as stream:
        dataset = _open(stream, (*READ, *IDENTIFYING, *PIXELS), stop_before_pixels=True)
        _check_place_of_pixels(dataset, stream)
        return to_header(dataset)


def read_tags(data: bytes, tags: Sequence[str | tuple[int, int]], ask: Callable[[Dataset], T]) -> T:
    """What `ask` finds among these tags of a DICOM file, by keyword or number; StudioError where they cannot be read.

    They are unchecked and may say who the patient is: ask for marks only.
    """
    with _faults(), _stream(data) as stream:
        return ask(_open(stream, tags, stop_before_pixels=True))


def read_slice(source: Path | bytes) -> Slice:
    """Read an axial CT slice in Hounsfield units: rescale, set padding to air, clip metal, turn to the patient.

    Raises:
        StudioError: the file cannot be read, or is no axial CT image with one gray frame and a rescale.
    """
    with _faults(), _stream(source) as stream:
        dataset = _open(stream, (*READ, *IDENTIFYING, *PIXELS))
        _check_image(dataset)
        header, notes = to_header(dataset), list[str]()
        check_axial_ct(header)
        slope, intercept = _rescale(dataset)
        levels = _levels(dataset, notes)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            notes.append("MONOCHROME1: only a display inverts it, Hounsfield units stay")
        hu = _clip_to_scale(levels.astype(np.float64) * slope + intercept, _padding(levels, dataset), notes)
        return Slice(turn_to_patient(hu, header.orientation), header, tuple(notes))


def read_gray(data: bytes, notes: list[str]) -> Image:
    """Read a DICOM image as a display shows it: modality and VOI tables (the first window), stretched to [0, 1].

    MONOCHROME1 is inverted; padding is black. `notes` receives a phrase where the values are doubtful.

    Raises:
        StudioError: not a single gray frame, or it cannot be read.
    """
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    with _faults():
        dataset = _open(io.BytesIO(data), (*READ, *PIXELS))
        _check_image(dataset)
        if dataset.get("RescaleSlope") == 0:
            raise StudioError("The rescale slope is 0: every pixel has the same value.")
        levels = _levels(dataset, [])
        padding = _padding(levels, dataset)
        _mend_window(dataset, notes)
        has_window = dataset.get("WindowWidth") is not None or "VOILUTSequence" in dataset
        values = apply_voi_lut(apply_modality_lut(levels, dataset), dataset).astype(np.float32)
        is_inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
    if not np.isfinite(values).all():
        raise StudioError("The DICOM file holds values that are not numbers (NaN or infinity).")
    seen = values if padding.all() else values[~padding]
    low, high = float(seen.min()), float(seen.max())
    if not has_window and np.quantile(seen, USUAL) < low + (high - low) / 4:
        notes.append("it states no window, and a few bright pixels leave the rest in the darkest quarter of the range")
    elif not has_window and np.quantile(seen, 1 - USUAL) > high - (high - low) / 4:
        notes.append("it states no window, and a few dark pixels leave the rest in the brightest quarter of the range")
    elif has_window and low == high and levels.min() < levels.max():
        notes.append("its window shows all of its pixels alike")
    scaled = np.clip((values - low) / max(high - low, 1e-6), 0.0, 1.0)
    shown = 1.0 - scaled if is_inverted else scaled
    return np.where(padding, 0.0, shown).astype(np.float32)


def read_values(source: Path | bytes) -> NDArray[np.float32]:
    """Read a gray image as it was measured: rescaled, through no window, padding at the least of the other values.

    Of MONOCHROME1 the values are negated, so that more is brighter.

    Raises:
        StudioError: not a single gray frame, or it cannot be read.
    """
    from pydicom.pixels.processing import apply_modality_lut

    with _faults(), _stream(source) as stream:
        dataset = _open(stream, (*READ, *PIXELS))
        _check_image(dataset)
        levels = _levels(dataset, [])
        padding = _padding(levels, dataset)
        values = apply_modality_lut(levels, dataset).astype(np.float32)
        values = -values if dataset.PhotometricInterpretation == "MONOCHROME1" else values
    if not np.isfinite(values).all():
        raise StudioError("The DICOM file holds values that are not numbers (NaN or infinity).")
    return values if padding.all() else np.where(padding, values[~padding].min(), values)


def _mend_window(dataset: Dataset, notes: list[str]) -> None:
    """Keep the first window that has a width, since some converters write none; take a narrow one exactly.

    The linear function of DICOM (PS3.3 C.11.2.1.2) needs a width of 1 or more, and shows two levels at 1, which for
    values with fractions is narrow; LINEAR_EXACT takes any width above 0.
    """
    if not dataset.get("VOILUTFunction", "x"):
        del dataset.VOILUTFunction  # it is there, and empty
    if dataset.get("WindowWidth") is None or dataset.get("WindowCenter") is None:
        return
    pairs = zip(np.atleast_1d(dataset.WindowCenter), np.atleast_1d(dataset.WindowWidth), strict=False)
    windows = [(float(center), float(width)) for center, width in pairs]
    center, width = next((window for window in windows if window[1] > 0), (0.0, 0.0))
    if not width:
        del dataset.WindowWidth
        notes.append("its window has no width and is not used")
        return
    dataset.WindowCenter, dataset.WindowWidth = center, width
    has_fractions = float(dataset.get("RescaleSlope", 1) or 1) % 1 != 0
    if (width < 1 or (width == 1 and has_fractions)) and dataset.get("VOILUTFunction", "LINEAR") == "LINEAR":
        dataset.VOILUTFunction = "LINEAR_EXACT"


def num_pixels(path: Path) -> int:
    """Pixels of all frames according to the header, none decoded; StudioError where it cannot be read."""
    with _faults(), path.open("rb") as stream:
        return math.prod(_shape(_open(stream, READ, stop_before_pixels=True)))


@contextmanager
def _faults() -> Iterator[None]:
    """Turn every error of pydicom and its decoders into a StudioError of one sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pydicom, about values that are checked here
            yield
    except StudioError:
        raise
    except RecursionError:
        raise StudioError("The DICOM file cannot be read: its sequences are nested too deeply.") from None
    except Exception as error:  # foreign bytes: a decoder may raise anything
        reason = plain_text(next(iter(str(error).splitlines()), "") or type(error).__name__)
        raise StudioError(f"The DICOM file cannot be read: {reason[:200]}") from error


@contextmanager
def _stream(source: Path | bytes) -> Iterator[BinaryIO]:
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    if size > MAX_BYTES:
        raise StudioError(f"The file has {size / 2**20:,.0f} MiB; at most {MAX_BYTES // 2**20} are read.")
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
        yield stream


def _open(stream: BinaryIO, tags: Sequence[str | tuple[int, int]], *, stop_before_pixels: bool = False) -> Dataset:
    """Parse these tags of a DICOM file. Deflated files are refused: zlib would unpack them without a bound."""
    import pydicom
    from pydicom.filereader import _read_file_meta_info
    from pydicom.tag import Tag

    start = stream.read(SIGN.stop)
    if not is_dicom(start):
        raise StudioError("This is not a DICOM file: the mark DICM after 128 bytes is missing.")
    kind = next((kind for mark, kind in FOREIGN.items() if start.startswith(mark)), None)
    if kind is not None:
        raise StudioError(f"The DICOM file begins as a {kind} and may run as one; it is not read.")
    meta = _read_file_meta_info(stream)
    _check_tags(meta, ("TransferSyntaxUID",))
    if str(meta.get("MediaStorageSOPClassUID", "")) == DIRECTORY:
        raise StudioError("This is a DICOMDIR, which only names other files; give these instead.")
    if str(meta.get("TransferSyntaxUID", "")).strip() in DEFLATED:
        raise StudioError("Deflated DICOM files are not read. Save it uncompressed, or with JPEG, JPEG 2000 or RLE.")
    stream.seek(0)
    return pydicom.dcmread(stream, stop_before_pixels=stop_before_pixels, specific_tags=[Tag(tag) for tag in tags])


def _shape(dataset: Dataset) -> tuple[int, int, int]:
    """Columns, rows and frames; StudioError names the tag that is missing."""
    _check_tags(dataset, ("Rows", "Columns"))
    return int(dataset.Columns), int(dataset.Rows), int(dataset.get("NumberOfFrames", 1) or 1)


def _check_tags(dataset: Dataset, keywords: Sequence[str]) -> None:
    missing = [keyword for keyword in keywords if dataset.get(keyword, None) in (None, "")]
    if missing:
        raise StudioError(f"The DICOM file lacks {', '.join(missing)}.")


def _no_image(dataset: Dataset) -> StudioError:
    modality = plain_text(dataset.get("Modality", ""))[:16] or "not stated"
    return StudioError(f"There is no image in this DICOM file (modality {modality}): a report, a plan, or cut short.")


def _check_place_of_pixels(dataset: Dataset, stream: BinaryIO) -> None:
    """Refuse a file whose pixel data, at which `stream` stands, is absent or ends beyond the end of the file."""
    is_implicit, is_little = dataset.original_encoding
    place, order = stream.tell(), "<" if is_little else ">"
    start = stream.read(12)
    if len(start) < 12 or struct.unpack_from(f"{order}HH", start) != (0x7FE0, 0x0010):
        raise _no_image(dataset)
    length = struct.unpack_from(f"{order}L", start, 4 if is_implicit else 8)[0]
    if length != 0xFFFFFFFF and place + (8 if is_implicit else 12) + length > stream.seek(0, io.SEEK_END):
        raise StudioError("The DICOM file is cut short: its pixels end early.")


def _check_image(dataset: Dataset) -> None:
    """Refuse, before decoding, everything but a single gray frame of at most MAX_PIXELS."""
    if "PixelData" not in dataset:
        raise _no_image(dataset)
    width, height, num_frames = _shape(dataset)
    if width * height * num_frames > MAX_PIXELS:
        raise StudioError(
            f"The image has {width}x{height} pixels in {num_frames:,} frame(s);"
            f" at most {MAX_PIXELS // 10**6} megapixels are read."
        )
    _check_tags(dataset, NEEDED)
    photometric = plain_text(dataset.PhotometricInterpretation)[:16]
    if photometric not in GRAY or int(dataset.get("SamplesPerPixel", 1) or 1) != 1:
        raise StudioError(f"Only gray DICOM images are read, not {photometric} in colors.")
    if num_frames != 1:
        raise StudioError(f"Only single-frame DICOM images are read, not one of {num_frames:,} frames.")
    if int(dataset.get("HighBit", dataset.BitsStored - 1)) != dataset.BitsStored - 1:
        raise StudioError("The pixels do not use the lowest bits (HighBit is not BitsStored - 1).")


def _levels(dataset: Dataset, notes: list[str]) -> NDArray[Any]:
    """The stored integers (H, W), signed where the file says so; unused high bits are dropped."""
    from pydicom.pixels.utils import pixel_array

    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        check_compressed(dataset)
    else:
        needed = dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8
        if len(dataset.PixelData) < needed:
            raise StudioError(f"The DICOM file is cut short: {len(dataset.PixelData):,} of {needed:,} bytes of pixels.")
        if len(dataset.PixelData) > needed + 1:
            notes.append(f"{len(dataset.PixelData) - needed:,} bytes after the first frame are ignored")
            dataset.PixelData = dataset.PixelData[:needed]
    levels = pixel_array(dataset, index=0)
    if levels.shape != (dataset.Rows, dataset.Columns):
        raise StudioError("The pixels do not have the shape that the header states.")
    return levels


def _rescale(dataset: Dataset) -> tuple[float, float]:
    """Slope and intercept from stored values to Hounsfield units."""
    _check_tags(dataset, ("RescaleSlope", "RescaleIntercept"))
    slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
    kind = plain_text(dataset.get("RescaleType", "")).strip()[:16]
    if not (math.isfinite(slope) and math.isfinite(intercept) and slope > 0):
        raise StudioError(f"The rescale slope {slope:g} and intercept {intercept:g} give no Hounsfield units.")
    if kind.upper()[:1] not in ("", "H") and kind.upper() != "US":  # "HU", "Houndsfield Unit"; US: unspecified
        raise StudioError(f"The rescale type is {kind}; only Hounsfield units (HU) are read.")
    return slope, intercept


def _padding(levels: NDArray[Any], dataset: Dataset) -> NDArray[np.bool_]:
    """(H, W): True where the file says that nothing was measured."""
    if dataset.get("PixelPaddingValue", None) is None:
        return np.zeros(levels.shape, np.bool_)
    low = _as_stored(dataset.PixelPaddingValue, dataset)
    high = _as_stored(dataset.get("PixelPaddingRangeLimit", dataset.PixelPaddingValue), dataset)
    return np.asarray((levels >= min(low, high)) & (levels <= max(low, high)))


def _as_stored(value: bytes | int, dataset: Dataset) -> int:
    """A padding value read with the sign of the pixels: some signed files state -2000 as 63536."""
    bits = int(dataset.BitsAllocated)
    value = (struct.unpack("<H", value)[0] if isinstance(value, bytes) else int(value)) % 2**bits
    return value - 2**bits if dataset.PixelRepresentation == 1 and value >= 2 ** (bits - 1) else int(value)


def _clip_to_scale(hu: NDArray[np.float64], padding: NDArray[np.bool_], notes: list[str]) -> NDArray[np.float32]:
    """Set padding and values below LOWEST to air, and clip values above HIGHEST."""
    outside, metal = padding | (hu < LOWEST), ~padding & (hu > HIGHEST)
    if outside.any():
        notes.append(f"{int(outside.sum()):,} pixels outside the field of view are set to air ({AIR:g} HU)")
    if metal.any():
        notes.append(f"{int(metal.sum()):,} pixels above {HIGHEST:g} HU, metal or overflow, are clipped")
    return np.where(outside, AIR, np.minimum(hu, HIGHEST)).astype(np.float32)
