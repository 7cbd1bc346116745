"""Decoding: the right gray levels from every allowed format, and words for everything else."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from PIL.PngImagePlugin import PngInfo
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)

from xray_generator.images import (
    encode_png,
    from_tensor,
    from_uint8,
    grid,
    limit_pixels,
    read_image,
    resize_square,
    to_tensor,
    to_uint8,
)
from xray_generator.types import StudioError

RAMP = np.tile(np.linspace(0, 65_535, 1_024).astype(np.uint16), (32, 1))
GRAY = np.random.default_rng(0).integers(0, 256, (24, 32), dtype=np.uint8)


def encoded(picture: PILImage.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def dicom(values: np.ndarray, photometric: str = "MONOCHROME2", **tags: object) -> bytes:  # type: ignore[type-arg]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("x", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, photometric, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelData = values.astype("<u2").tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares its size and holds no pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("kind", "exact"), [("PNG", True), ("TIFF", True), ("JPEG", False)])
def test_eight_bits_divide_by_255(kind: str, exact: bool) -> None:
    data = encoded(PILImage.fromarray(GRAY), kind, **({} if exact else {"quality": 100}))
    difference = np.abs(read_image(data) - GRAY / 255).max()
    assert difference < (1e-6 if exact else 3 / 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_ramp_keeps_its_levels(kind: str) -> None:
    image = read_image(encoded(PILImage.fromarray(RAMP), kind))
    assert np.abs(image - RAMP / 65_535).max() < 1e-6
    assert (np.diff(image[0]) >= 0).all()
    assert len(np.unique(to_uint8(image))) >= 250


def test_big_endian_tiff_equals_little_endian() -> None:
    image = read_image(encoded(PILImage.frombytes("I;16B", RAMP.shape[::-1], RAMP.astype(">u2").tobytes()), "TIFF"))
    assert np.abs(image - RAMP / 65_535).max() < 1e-6


def test_float_tiff_must_lie_in_range() -> None:
    values = GRAY.astype(np.float32) / 255
    assert np.array_equal(read_image(encoded(PILImage.fromarray(values), "TIFF")), values)
    for wrong in (values * 300, np.full_like(values, np.nan)):
        with pytest.raises(StudioError, match="from 0 to 1"):
            read_image(encoded(PILImage.fromarray(wrong), "TIFF"))


def test_transparency_lies_over_black() -> None:
    layers = np.dstack([np.full((20, 20, 3), 200, np.uint8), np.zeros((20, 20), np.uint8)])
    layers[:, 10:, 3] = 255
    image = read_image(encoded(PILImage.fromarray(layers), "PNG"))
    assert (image[:, :10] == 0).all()
    assert np.allclose(image[:, 10:], 200 / 255)


def test_transparent_palette_and_gray_lie_over_black() -> None:
    palette = PILImage.fromarray(GRAY).convert("P")
    assert read_image(encoded(palette, "PNG", transparency=int(np.asarray(palette)[3, 4])))[3, 4] == 0
    gray = PILImage.fromarray(np.dstack([GRAY, np.zeros_like(GRAY)]), "LA")
    assert (read_image(encoded(gray, "PNG")) == 0).all()


@pytest.mark.parametrize("mode", ["P", "1", "RGB", "CMYK"])
def test_other_modes_become_luma(mode: str) -> None:
    smooth = np.tile(np.linspace(20, 230, 48).astype(np.uint8), (24, 1))
    picture = PILImage.fromarray(smooth).convert("RGB").convert(mode)
    data = encoded(picture, "JPEG", quality=100) if mode == "CMYK" else encoded(picture, "PNG")
    assert np.abs(read_image(data) * 255 - np.asarray(picture.convert("L"))).max() <= 2


def test_exif_orientation_is_applied() -> None:
    exif = PILImage.Exif()
    exif[0x0112] = 6
    image = read_image(encoded(PILImage.fromarray(GRAY), "PNG", exif=exif))
    assert np.array_equal(to_uint8(image), np.rot90(GRAY, -1))


def test_content_decides_not_the_name(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("x") / "image.png"
    path.write_text("this is text")
    with pytest.raises(StudioError, match=r"not an image. Allowed: PNG, JPEG, TIFF, DICOM"):
        read_image(path)
    path.write_bytes(encoded(PILImage.fromarray(GRAY), "TIFF"))
    assert read_image(path).shape == GRAY.shape


@pytest.mark.parametrize("kind", ["GIF", "BMP", "WEBP", "PPM", "ICO"])
def test_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(StudioError, match=r"(not an image|, which is not read)\. Allowed: PNG, JPEG, TIFF, DICOM"):
        read_image(encoded(PILImage.fromarray(GRAY), kind))


def test_animated_gif_is_refused() -> None:
    frames = [PILImage.fromarray(GRAY), PILImage.fromarray(255 - GRAY)]
    with pytest.raises(StudioError, match="a GIF image, which is not read"):
        read_image(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))


@pytest.mark.parametrize("data", [b"", b"\0", b"<svg></svg>", b"%PDF-1.7", b"MZ" + b"\0" * 200])
def test_no_image_at_all(data: bytes) -> None:
    with pytest.raises(StudioError, match=r"empty|not an image|(a PDF document|a text, .*), which is not read"):
        read_image(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_cut_files_are_refused(kind: str) -> None:
    data = encoded(PILImage.fromarray(np.tile(GRAY, (4, 4))), kind)
    for length in (len(data) // 3, len(data) // 2, len(data) * 3 // 4):
        with pytest.raises(StudioError):
            read_image(data[:length])


@pytest.mark.parametrize(("width", "height"), [(10_000, 10_000), (20_000, 10_000), (2**31 - 1, 2**31 - 1)])
def test_bomb_is_refused_by_its_header(width: int, height: int) -> None:
    with pytest.raises(StudioError, match=r"at most 40 megapixels"):
        read_image(png_header(width, height))


def test_text_bomb_is_refused() -> None:
    chunks = PngInfo()
    chunks.add_text("bomb", "0" * 70_000_000, zip=True)
    with pytest.raises(StudioError):
        read_image(encoded(PILImage.fromarray(GRAY), "PNG", pnginfo=chunks))


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (9, 7), (15, 16)])
def test_small_images_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(StudioError, match="each side must be 16 or more"):
        read_image(encoded(PILImage.fromarray(np.zeros(shape, np.uint8)), "PNG"))


def test_constant_image_stays_constant() -> None:
    for data in (encoded(PILImage.fromarray(np.full((16, 16), 77, np.uint8)), "PNG"), dicom(np.full((16, 16), 9))):
        image = read_image(data)
        assert np.isfinite(image).all()
        assert len(np.unique(image)) == 1
    assert np.allclose(resize_square(np.full((40, 60), 0.3, np.float32), 32), 0.3)


def test_values_outside_the_range_clip_and_never_wrap() -> None:
    values = np.array([[-0.01, 0.0, 0.5, 1.0, 1.01, 9.0]], np.float32)
    assert to_uint8(values).tolist() == [[0, 0, 128, 255, 255, 255]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_numbers_are_refused(value: float) -> None:
    image = np.full((16, 16), 0.5, np.float32)
    image[3, 4] = value
    for convert in (to_uint8, encode_png, lambda x: from_tensor(torch.from_numpy(x)[None, None])):
        with pytest.raises(StudioError, match="not numbers"):
            convert(image)


def test_all_256_levels_survive_the_round_trip() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(to_uint8(from_uint8(levels)), levels)
    assert np.array_equal(to_uint8(read_image(encode_png(from_uint8(levels)))), levels)


def test_tensor_and_image_conversions_are_inverse() -> None:
    images = np.random.default_rng(0).random((3, 16, 24), dtype=np.float32)
    batch = to_tensor(images)
    assert batch.shape == (3, 1, 16, 24)
    assert batch.min() >= -1
    assert batch.max() <= 1
    assert np.allclose(np.stack(from_tensor(batch)), images, atol=1e-6)
    assert from_tensor(torch.tensor([[[[-3.0, 3.0]]]]))[0].tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("shape", [(200, 300), (300, 200), (64, 64), (50, 90), (301, 77)])
def test_resize_square(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    square = resize_square(image, 64)
    assert square.shape == (64, 64)
    assert 0 <= square.min() <= square.max() <= 1
    if shape == (64, 64):
        assert np.array_equal(square, image)


def test_resize_keeps_left_and_right() -> None:
    image = np.zeros((100, 100), np.float32)
    image[:, :30] = 1
    square = resize_square(image, 50)
    assert square[:, :14].min() == 1
    assert square[:, 16:].max() == 0


def test_grid_fills_rows_from_the_left_and_leaves_the_rest_black() -> None:
    images = [np.full((2, 3), value, np.float32) for value in (0.1, 0.2, 0.3)]
    whole = grid(images, 2)
    assert whole.shape == (4, 6) and whole.dtype == np.float32
    assert np.array_equal(whole[::2, ::3], np.array([[0.1, 0.2], [0.3, 0.0]], np.float32))
    assert np.array_equal(grid(images, 9), np.concatenate(images, axis=1))


def test_limit_pixels_keeps_the_shape_and_the_mean() -> None:
    image = np.random.default_rng(0).random((300, 400), dtype=np.float32)
    small = limit_pixels(image, 30_000)
    assert small.shape == (150, 200)
    assert np.allclose(small, image.reshape(150, 2, 200, 2).mean(axis=(1, 3)), atol=1e-6)
    assert limit_pixels(image, 120_000) is image
