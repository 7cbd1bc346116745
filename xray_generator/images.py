"""The only conversions between tensors, float images, 8-bit images and files.

Untrusted bytes are decoded only here and in `dicom`, by an allow-list of formats and within a pixel budget.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageOps, TiffImagePlugin, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from xray_generator import dicom, libtiff
from xray_generator.types import Image, StudioError

if TYPE_CHECKING:
    from torch import Tensor

MIN_SIDE = 16
FORMATS = ("PNG", "JPEG", "TIFF", "DICOM")
NO_TEXT: Mapping[str, str] = MappingProxyType({})
MOST_16 = 65_535
DARK = 2**14  # a 16-bit image of lower values looks dark: 10, 12 or 14 bits may have been meant
OTHERS = {  # first bytes of well-known files that are not read
    b"BM": "a BMP image",
    b"GIF8": "a GIF image",
    b"RIFF": "a WebP image or a film",
    b"\0\0\0\x0cjP": "a JPEG 2000 image",
    b"\xffO\xffQ": "a JPEG 2000 image",
    b"\x93NUMPY": "a NumPy array",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive (of a NIfTI volume?)",
    b"PK\x03\x04": "a ZIP archive",
    b"ftyp": "a HEIC or AVIF image or a film",  # after the length of its first part
    b"\0\0\0\x0cJXL": "a JPEG XL image",
    b"\xff\x0a": "a JPEG XL image",
    b"P5": "a PGM image",
    b"8BPS": "a Photoshop document",
    b"\x5c\x01\0\0": "a NIfTI volume",
    b"NRRD": "an NRRD volume",
    b"ObjectType": "a MetaImage volume",
    b"\x89HDF": "an HDF5 file",
    b"MATLAB": "a MATLAB file",
    b"<": "a text, such as an SVG drawing or a web page that was saved instead",
    b"version https://git-lfs": "a pointer of Git LFS, in place of the file that `git lfs pull` fetches",
}
PHOTOMETRIC, BITS, SAMPLES, FORMAT, KIND, DEPTH = 262, 258, 277, 339, 254, 32997  # tags of a TIFF page
WHITE_IS_ZERO, THUMBNAIL, SIGNED, FLOATS = 0, 1, 2, 3  # of PHOTOMETRIC, KIND (bit 0) and FORMAT
MAX_PAGES = 8  # pages that are looked at, to tell a thumbnail from a stack


def to_uint8(image: Image) -> NDArray[np.uint8]:
    """[0, 1] float -> [0, 255], clipped then rounded; StudioError for NaN or infinity."""
    return _quantize(image, 255).astype(np.uint8)


def to_uint16(image: Image) -> NDArray[np.uint16]:
    """[0, 1] float -> [0, 65535], clipped then rounded; StudioError for NaN or infinity."""
    return _quantize(image, 65_535).astype(np.uint16)


def _quantize(image: Image, highest: int) -> NDArray[np.floating]:
    if not np.isfinite(image).all():
        raise StudioError("The image holds values that are not numbers (NaN or infinity).")
    return np.asarray(np.rint(np.clip(image, 0.0, 1.0) * float(highest)))


def from_uint8(image: NDArray[np.uint8]) -> Image:
    """[0, 255] -> [0, 1] float32."""
    return image.astype(np.float32) / np.float32(255.0)


def from_tensor(batch: Tensor) -> tuple[Image, ...]:
    """(B, 1, H, W) in [-1, 1] -> B images in [0, 1].

    Raises:
        StudioError: a pixel is not finite.
    """
    array = batch.detach().float().cpu().numpy()[:, 0]
    if not np.isfinite(array).all():
        raise StudioError("The model returned values that are not numbers; its weights are damaged or overflowed.")
    return tuple(np.clip(image * 0.5 + 0.5, 0.0, 1.0).astype(np.float32) for image in array)


def to_tensor(images: NDArray[np.float32]) -> Tensor:
    """(B, H, W) in [0, 1] -> (B, 1, H, W) in [-1, 1]."""
    import torch

    return torch.from_numpy(images)[:, None] * 2 - 1


def encode_png(image: Image, text: Mapping[str, str] = NO_TEXT, bits: int = 8, *, is_compressed: bool = True) -> bytes:
    """Gray PNG of a [0, 1] image, 8 or 16 bits deep, with `text` as its text chunks."""
    chunks, buffer = PngInfo(), io.BytesIO()
    for name, value in text.items():
        chunks.add_itxt(name, value)
    levels = to_uint8(image) if bits == 8 else to_uint16(image)
    level = -1 if is_compressed else 0  # -1: zlib's own choice
    PILImage.fromarray(levels).save(buffer, format="PNG", pnginfo=chunks, compress_level=level)
    return buffer.getvalue()


def grid(images: Sequence[Image], num_columns: int) -> Image:
    """Join images of one size, row by row from the top left; empty places are black."""
    columns = min(num_columns, len(images))
    blank = [np.zeros_like(images[0])] * (-len(images) % columns)
    cells = np.asarray([*images, *blank], np.float32)
    return rearrange(cells, "(row column) h w -> (row h) (column w)", column=columns)


def read_image(source: Path | bytes, notes: list[str] | None = None) -> Image:
    """Decode a PNG, JPEG, TIFF or DICOM file, recognized by content, to (H, W) in [0, 1].

    8 bits are divided by 255 and 16 bits by 65,535; colors become luma; transparency is composited over black; EXIF
    orientation is applied; a TIFF whose white is zero is inverted; DICOM as in `dicom.read_gray`. `notes` receives a
    phrase on whatever makes it doubtful that the image looks as it should.

    Raises:
        StudioError: not an image of an allowed format, of several pages, of values outside these ranges, damaged, over
            40 megapixels, or under 16 pixels a side.
    """
    data = source if isinstance(source, bytes) else source.read_bytes()
    if not data:
        raise StudioError("The file is empty.")
    said: list[str] = [] if notes is None else notes
    image = dicom.read_gray(data, said) if dicom.is_dicom(data) else _read_pillow(data, said)
    if min(image.shape) < MIN_SIDE:
        raise StudioError(f"The image is {image.shape[1]}x{image.shape[0]}; each side must be {MIN_SIDE} or more.")
    return image


def header_pixels(path: Path) -> int:
    """Pixels of all frames according to a file's header, none decoded; the file's size in bytes if there is none."""
    try:
        if dicom.is_dicom(path):
            return dicom.num_pixels(path)
        with PILImage.open(path, formats=["PNG", "JPEG", "TIFF"]) as picture:
            return picture.width * picture.height
    except (StudioError, OSError, ValueError, SyntaxError, PILImage.DecompressionBombError):
        return path.stat().st_size


def _read_pillow(data: bytes, notes: list[str]) -> Image:
    most = dicom.MAX_PIXELS // 10**6
    libtiff.silence()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PILImage.DecompressionBombWarning)  # our own budget is stricter
            picture = PILImage.open(io.BytesIO(data), formats=["PNG", "JPEG", "TIFF"])
            if picture.width * picture.height > dicom.MAX_PIXELS:
                size = f"{picture.width}x{picture.height}"
                raise StudioError(f"The image has {size} pixels; at most {most} megapixels are read.")
            _check_pages(picture, notes)
            tags = dict(picture.tag_v2) if isinstance(picture, TiffImagePlugin.TiffImageFile) else {}
            return _to_gray(ImageOps.exif_transpose(picture), tags, notes)
    except UnidentifiedImageError:
        raise StudioError(f"{_describe(data)} Allowed: {', '.join(FORMATS)}.") from None
    except PILImage.DecompressionBombError:
        raise StudioError(f"The image has too many pixels; at most {most} megapixels are read.") from None
    except StudioError:
        raise
    except Exception as error:  # foreign bytes: a decoder may raise anything
        raise StudioError(f"The image is damaged or cut short ({type(error).__name__}).") from error


def _check_pages(picture: PILImage.Image, notes: list[str]) -> None:
    """Refuse a file of several images; thumbnails beside the one are no images, and phones add gain maps to a JPEG."""
    depth = int(picture.tag_v2.get(DEPTH, 1)) if isinstance(picture, TiffImagePlugin.TiffImageFile) else 1
    count: int = getattr(picture, "n_frames", 1) * depth
    if count == 1:
        return
    if picture.format == "MPO":
        notes.append(f"the first of the {count} pictures in the file is used")
        return
    if isinstance(picture, TiffImagePlugin.TiffImageFile) and depth == 1 and count <= MAX_PAGES:
        kinds = []
        for page in range(count):
            picture.seek(page)
            kinds.append(int(picture.tag_v2.get(KIND, 0)) & THUMBNAIL)
        picture.seek(0)
        if not kinds[0] and all(kinds[1:]):
            return
    raise StudioError(f"The file holds {count:,} images; only files of one image are read. Save each by itself.")


def _describe(data: bytes) -> str:
    """A sentence on bytes that Pillow cannot read."""
    if dicom.lacks_mark(data):
        return "This is a DICOM data set without its file header; save it as a DICOM file."
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _describe_tiff(data)
    kind = next((name for start, name in OTHERS.items() if start in (data[: len(start)], data[4:8])), None)
    return f"This is {kind}, which is not read." if kind else "This is not an image."


def _describe_tiff(data: bytes) -> str:
    try:
        stream = io.BytesIO(data)
        tags = TiffImagePlugin.ImageFileDirectory_v2(data[:16] if data[2:4] in (b"+\0", b"\0+") else data[:8])
        stream.seek(tags.next)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tags.load(stream)
        depth = tags[BITS][0]
        count, kind = int(tags.get(SAMPLES, 1)), " of floating point" if FLOATS in tags.get(FORMAT, ()) else ""
        channels = f"{count} channel{'s' if count > 1 else ''} of {depth} bits{kind}"
    except Exception:  # noqa: BLE001 - foreign bytes: a parser may raise anything
        return "This TIFF is damaged or of a kind that is not read."
    return f"This TIFF holds {channels}, which is not read. Save one channel as 8 or 16 bits gray."


def _to_gray(picture: PILImage.Image, tags: Mapping[int, Any], notes: list[str]) -> Image:
    is_inverted = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
    if picture.mode.startswith("I"):  # convert("L") would clip to white what is above 255
        image = _from_integers(np.asarray(picture), tags, notes)
        return 1 - image if is_inverted else image
    if picture.mode == "L" and SIGNED in tags.get(FORMAT, ()):  # which Pillow does not look at
        _from_integers(np.asarray(picture).view(np.int8), tags, [])
    if picture.mode == "LAB":
        raise StudioError("The image is stored in LAB colors, which are not read. Save it in gray.")
    if picture.mode == "F":
        values = np.asarray(picture, dtype=np.float32)
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise StudioError("A floating-point image must hold values from 0 to 1.")
        return 1 - values if is_inverted else values
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = PILImage.alpha_composite(PILImage.new("RGBA", layer.size, (0, 0, 0, 255)), layer)
    return from_uint8(np.asarray(picture.convert("L")))  # Pillow itself inverts up to 8 bits


def _from_integers(values: NDArray[Any], tags: Mapping[int, Any], notes: list[str]) -> Image:
    """Whole numbers of 9 to 16 bits -> [0, 1]; more bits, or signed ones, where all values lie in that range."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > MOST_16:
        raise StudioError(
            f"The image holds whole numbers from {low:,} to {high:,}; 0 to {MOST_16:,} are read. "
            "Save it as 8 or 16 bits gray, or CT in Hounsfield units as DICOM."
        )
    bits = int(tags.get(BITS, (16,))[0])
    most = 2**bits - 1 if 8 < bits < 16 else MOST_16
    if 0 < high < DARK and most == MOST_16:
        notes.append(
            f"its values end at {high:,} of {most:,}, as if {high.bit_length()} bits were meant; it looks dark"
        )
    return np.asarray(values / np.float32(most), np.float32)


def resize_square(image: Image, size: int) -> Image:
    """Scale the short side to `size` (area when smaller, bicubic when larger) and crop the center: (size, size)."""
    height, width = image.shape
    scale = size / min(height, width)
    if scale != 1:
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        shape = (max(size, round(width * scale)), max(size, round(height * scale)))
        image = np.clip(cv2.resize(image, shape, interpolation=method), 0.0, 1.0)
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return np.ascontiguousarray(image[top : top + size, left : left + size], dtype=np.float32)


def limit_pixels(image: Image, max_pixels: int) -> Image:
    """Scale an image down (by area, aspect ratio kept) to at most `max_pixels`; a smaller one is returned as is."""
    height, width = image.shape
    scale = math.sqrt(max_pixels / (height * width))
    if scale >= 1:
        return image
    shape = (max(1, math.floor(width * scale)), max(1, math.floor(height * scale)))
    return np.asarray(np.clip(cv2.resize(image, shape, interpolation=cv2.INTER_AREA), 0.0, 1.0), np.float32)
