"""Images whose values do not fill the range, whose white is zero, or which come several to a file."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage
from skimage.io._plugins.tifffile_plugin import imsave

from xray_generator.images import read_image, to_uint8
from xray_generator.types import StudioError

RAMP = np.tile(np.linspace(0, 1, 64), (32, 1))
PHOTOMETRIC = 262


def tiff(values: NDArray[np.generic], **options: object) -> bytes:
    """A TIFF of these values as they are, by another writer than Pillow."""
    buffer = io.BytesIO()
    imsave(buffer, values, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_white_is_zero_inverts_at_every_depth(kind: type) -> None:
    most = 1 if kind is np.float32 else np.iinfo(kind).max
    values = np.round(RAMP * most).astype(kind) if most > 1 else RAMP.astype(kind)
    np.testing.assert_allclose(read_image(tiff(values, photometric="minisblack")), values / most, atol=1e-6)
    np.testing.assert_allclose(read_image(tiff(values, photometric="miniswhite")), 1 - values / most, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((RAMP * 3000 - 1000).astype(np.int16), "from -1,000 to 2,000; 0 to 65,535 are read"),
        ((RAMP * 3000 - 1000).astype(np.int32), "from -1,000 to 2,000"),
        ((RAMP * 3e6).astype(np.uint32), "from 0 to 3,000,000"),
        (RAMP, "1 channel of 64 bits of floating point, which is not read"),
        ((RAMP * 255).astype(np.float32), "must hold values from 0 to 1"),
        (np.zeros((32, 64, 2), np.uint16), "2 channels of 16 bits, which is not read. Save one channel as 8 or 16"),
    ],
)
def test_values_that_cannot_be_gray_are_refused(values: NDArray[np.generic], words: str) -> None:
    with pytest.raises(StudioError) as error:
        read_image(tiff(values, **({"planarconfig": "contig", "photometric": "minisblack"} if values.ndim > 2 else {})))
    assert words in str(error.value)


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_fewer_bits_than_the_file_has_are_noted(bits: int, kind: str) -> None:
    buffer, notes = io.BytesIO(), list[str]()
    PILImage.fromarray((RAMP * (2**bits - 1)).astype(np.uint16)).save(buffer, kind)
    image = read_image(buffer.getvalue(), notes)
    assert image.max() == pytest.approx((2**bits - 1) / 65_535)
    assert notes == [f"its values end at {2**bits - 1:,} of 65,535, as if {bits} bits were meant; it looks dark"]


def test_a_full_range_is_not_noted() -> None:
    notes: list[str] = []
    read_image(tiff((RAMP * 65_535).astype(np.uint16)), notes)
    read_image(tiff((RAMP * 100).astype(np.uint8)), notes)
    assert notes == []


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "stack"])
def test_several_images_in_one_file_are_refused(kind: str) -> None:
    pages = np.stack([to_uint8(RAMP / number) for number in range(1, 6)])
    buffer = io.BytesIO()
    first, *others = map(PILImage.fromarray, pages)
    data = tiff(pages, photometric="minisblack")
    if kind != "stack":
        first.save(buffer, kind, save_all=True, append_images=others)
        data = buffer.getvalue()
    with pytest.raises(StudioError, match="The file holds 5 images; only files of one image are read"):
        read_image(data)


def test_a_thumbnail_beside_the_image_does_not_count() -> None:
    buffer = io.BytesIO()
    first, small = PILImage.fromarray(to_uint8(RAMP)), PILImage.fromarray(to_uint8(RAMP[::2, ::2]))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    first.save(buffer, "TIFF", save_all=True, append_images=[small])
    assert read_image(buffer.getvalue()).shape == RAMP.shape


def test_a_picture_with_a_gain_map_is_read_with_a_note() -> None:
    buffer, notes = io.BytesIO(), list[str]()
    first = PILImage.fromarray(to_uint8(RAMP))
    first.save(buffer, "MPO", save_all=True, append_images=[PILImage.fromarray(to_uint8(1 - RAMP))])
    assert np.abs(read_image(buffer.getvalue(), notes) - RAMP).max() < 0.05
    assert notes == ["the first of the 2 pictures in the file is used"]


@pytest.mark.parametrize("start", [b"BM", b"GIF89a", b"\x93NUMPY", b"\0\0\0\x0cjP  ", b"RIFF1234WEBP"])
def test_a_well_known_kind_is_named(start: bytes) -> None:
    with pytest.raises(StudioError, match=r"This is a .*, which is not read. Allowed: PNG, JPEG, TIFF, DICOM"):
        read_image(start + bytes(100))


def test_a_damaged_tiff_is_no_foreign_format() -> None:
    with pytest.raises(StudioError, match="This TIFF is damaged or of a kind that is not read"):
        read_image(b"II*\0\xff\xff\xff\x7f")


def test_signed_bytes_are_no_gray() -> None:
    with pytest.raises(StudioError, match="from -128 to 127"):
        read_image(tiff((RAMP * 255 - 128).astype(np.int8)))
    assert read_image(tiff((RAMP * 100).astype(np.int8))).max() == pytest.approx(100 / 255)


def test_a_tiff_with_depth_is_a_stack() -> None:
    buffer = io.BytesIO()
    PILImage.fromarray(to_uint8(RAMP)).save(buffer, "TIFF", tiffinfo={32997: 16})
    with pytest.raises(StudioError, match="The file holds 16 images"):
        read_image(buffer.getvalue())


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\0\0\0\x1cftypheic", "HEIC"),
        (b"\x5c\x01\0\0", "NIfTI"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "pointer of Git LFS"),
        (b"DICM\x02\0\0\0", "DICOM data set without its file header"),
        (b"\x02\0\0\0UL\4\0", "DICOM data set without its file header"),
    ],
)
def test_more_kinds_are_named(start: bytes, kind: str) -> None:
    with pytest.raises(StudioError, match=kind):
        read_image(start + bytes(200))
