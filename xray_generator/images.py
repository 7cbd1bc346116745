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
from typing import TYPE_CHECKING

import cv2
import numpy as np
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from xray_generator import dicom
from xray_generator.types import Image, StudioError

if TYPE_CHECKING:
    from torch import Tensor

MIN_SIDE = 16
FORMATS = ("PNG", "JPEG", "TIFF", "DICOM")
NO_TEXT: Mapping[str, str] = MappingProxyType({})


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


def encode_png(image: Image, text: Mapping[str, str] = NO_TEXT, bits: int = 8) -> bytes:
    """Gray PNG of a [0, 1] image, 8 or 16 bits deep, with `text` as its text chunks."""
    chunks, buffer = PngInfo(), io.BytesIO()
    for name, value in text.items():
        chunks.add_itxt(name, value)
    levels = to_uint8(image) if bits == 8 else to_uint16(image)
    PILImage.fromarray(levels).save(buffer, format="PNG", pnginfo=chunks)
    return buffer.getvalue()


def grid(images: Sequence[Image], num_columns: int) -> Image:
    """Join images of one size, row by row from the top left; empty places are black."""
    columns = min(num_columns, len(images))
    blank = [np.zeros_like(images[0])] * (-len(images) % columns)
    cells = np.asarray([*images, *blank], np.float32)
    return rearrange(cells, "(row column) h w -> (row h) (column w)", column=columns)


def read_image(source: Path | bytes) -> Image:
    """Decode a PNG, JPEG, TIFF or DICOM file, recognized by content, to (H, W) in [0, 1].

    8 bits are divided by 255 and 16 bits by 65,535; colors become luma; transparency is composited over black; EXIF
    orientation is applied; DICOM as in `dicom.read_gray`.

    Raises:
        StudioError: not an image of an allowed format, damaged, over 40 megapixels, or under 16 pixels a side.
    """
    data = source if isinstance(source, bytes) else source.read_bytes()
    if not data:
        raise StudioError("The file is empty.")
    image = dicom.read_gray(data) if dicom.is_dicom(data) else _read_pillow(data)
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


def _read_pillow(data: bytes) -> Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PILImage.DecompressionBombWarning)  # our own budget is stricter
            picture = PILImage.open(io.BytesIO(data), formats=["PNG", "JPEG", "TIFF"])
            if picture.width * picture.height > dicom.MAX_PIXELS:
                size, most = f"{picture.width}x{picture.height}", dicom.MAX_PIXELS // 10**6
                raise StudioError(f"The image has {size} pixels; at most {most} megapixels are read.")
            return _to_gray(ImageOps.exif_transpose(picture))
    except UnidentifiedImageError:
        raise StudioError(f"This is not an image. Allowed: {', '.join(FORMATS)}.") from None
    except StudioError:
        raise
    except Exception as error:  # foreign bytes: a decoder may raise anything
        raise StudioError(f"The image is damaged or cut short ({type(error).__name__}).") from error


def _to_gray(picture: PILImage.Image) -> Image:
    if picture.mode.startswith("I"):  # 16-bit PNG and TIFF; convert("L") would clip them to white
        return np.asarray(np.clip(np.asarray(picture, np.float32) / 65_535.0, 0.0, 1.0), np.float32)
    if picture.mode == "F":
        values = np.asarray(picture, dtype=np.float32)
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise StudioError("A floating-point image must hold values from 0 to 1.")
        return values
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = PILImage.alpha_composite(PILImage.new("RGBA", layer.size, (0, 0, 0, 255)), layer)
    return from_uint8(np.asarray(picture.convert("L")))


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
