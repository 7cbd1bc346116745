"""Fuzzed images and archives: PNG, JPEG, TIFF, DICOM, recipes in PNG, uploads."""

import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PILImage
from PIL.PngImagePlugin import PngInfo
from pydicom.uid import ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless
from skimage.io._plugins.tifffile_plugin import imsave

from postprocess.presets import PRESETS
from tests.ct_files import ct
from tests.fuzzing import WORDS, Parser, mutate_bytes, mutate_json, mutate_text
from tests.test_images import dicom, encoded
from xray_generator.config import dump
from xray_generator.data.uploads import Caps, NamedBytes, receive
from xray_generator.dicom import read_header, read_slice
from xray_generator.export.marks import KEY, says_synthetic
from xray_generator.export.recipe import Recipe, add_preset, find_recipe, read_recipe
from xray_generator.images import header_pixels, read_image
from xray_generator.types import CheckpointRef, Edit, GenerationRequest, Morph, StudioError, TextPrompt

GRAY = np.random.default_rng(0).integers(0, 256, (24, 32), dtype=np.uint8)
RAMP = np.tile(np.linspace(0, 65_535, 32).astype(np.uint16), (24, 1))
PICTURE = PILImage.fromarray(GRAY)
CHUNK = struct.Struct(">I4s")
CAPS = Caps(members=40, total_bytes=2_000_000, table_bytes=100_000, total_pixels=2_000_000, free_pixels=2_000_000)


def image_parsers(folder: Path) -> dict[str, Parser]:
    """By name; `folder` is for files."""
    files = {"PNG": _pngs(), "JPEG": _jpegs(), "TIFF": _tiffs()}
    shares = {"PNG": 20, "JPEG": 20, "TIFF": 30}
    parsers = {
        kind: Parser(
            lambda rng, kind=kind: _damage(rng, rng.choice(files[kind])), lambda data: _read(data, folder), shares[kind]
        )
        for kind in files
    }
    slices = [ct(), ct(signed=True, syntax=ImplicitVRLittleEndian), ct(syntax=RLELossless), ct(syntax=JPEG2000Lossless)]
    films = [dicom(GRAY), dicom(GRAY, "MONOCHROME1", PixelPaddingValue=7, WindowCenter=[9, 8], WindowWidth=[4, 5])]
    return {
        **parsers,
        "DICOM": Parser(
            lambda rng: mutate_bytes(rng, rng.choice([*slices, *films]), rng.choice((0, 128, 128, 128, 128))),
            lambda data: _read_dicom(data, folder),
            35,
        ),
        "recipe": Parser(_recipe, _read_recipe, 20),
        "upload": Parser(lambda rng: _upload(rng, [*files["PNG"], *slices]), lambda made: receive(made, CAPS), 20),
    }


def _read(data: bytes, folder: Path) -> None:
    (folder / "x.png").write_bytes(data)
    assert header_pixels(folder / "x.png") >= 0
    says_synthetic(data)
    image = read_image(folder / "x.png")
    assert image.dtype == np.float32 and image.ndim == 2 and min(image.shape) >= 16
    assert np.isfinite(image).all() and 0 <= image.min() <= image.max() <= 1


def _read_dicom(data: bytes, folder: Path) -> None:
    with suppress(StudioError):
        read_header(data)
    with suppress(StudioError):
        hu = read_slice(data).hu
        assert hu.dtype == np.float32 and -1024 <= hu.min() <= hu.max() <= 3071
    _read(data, folder)


def _damage(rng: random.Random, data: bytes) -> bytes:
    """Half of the damaged PNG files get right checksums again: else most are refused for those alone."""
    changed = mutate_bytes(rng, data)
    return _checksummed(changed) if data.startswith(b"\x89PNG") and rng.random() < 0.6 else changed


def _checksummed(data: bytes) -> bytes:
    fixed, place = bytearray(data), 8
    while place + 12 <= len(fixed):
        length, _ = CHUNK.unpack_from(fixed, place)
        if (end := place + 8 + length) + 4 > len(fixed):
            break
        fixed[end : end + 4] = zlib.crc32(fixed[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return bytes(fixed)


def _pngs() -> list[bytes]:
    exif, text = PILImage.Exif(), PngInfo()
    exif[0x0112] = 6
    text.add_text("Description", "Synthetic", zip=True)
    text.add_itxt(KEY, "{}", "en", "x", zip=True)
    return [
        encoded(PICTURE, "PNG", exif=exif),
        encoded(PICTURE, "PNG", pnginfo=text),
        encoded(PILImage.fromarray(RAMP), "PNG"),
        encoded(PICTURE.convert("P"), "PNG", transparency=3),
        encoded(PICTURE.convert("RGBA"), "PNG"),
        encoded(PICTURE.convert("1"), "PNG"),
        encoded(PICTURE, "PNG", save_all=True, append_images=[PICTURE.rotate(180)]),
    ]


def _jpegs() -> list[bytes]:
    exif = PILImage.Exif()
    exif[0x0112], exif[0x010E] = 8, "words"
    return [
        encoded(PICTURE, "JPEG", exif=exif),
        encoded(PICTURE.convert("RGB"), "JPEG", progressive=True, icc_profile=bytes(200), comment=b"words"),
        encoded(PICTURE.convert("CMYK"), "JPEG", quality=40),
        encoded(PICTURE, "MPO", save_all=True, append_images=[PICTURE.rotate(180)]),
    ]


def _tiffs() -> list[bytes]:
    plain = [encoded(PICTURE, "TIFF", compression=way) for way in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits")]
    depths = [encoded(PILImage.fromarray(values), "TIFF") for values in (RAMP, GRAY.astype(np.float32) / 255)]
    buffers = [io.BytesIO() for _ in range(3)]
    imsave(buffers[0], RAMP, photometric="miniswhite", bigtiff=True)
    imsave(buffers[1], RAMP.astype(">u2"), byteorder=">", tile=(16, 16))
    imsave(buffers[2], np.stack([GRAY, GRAY]), photometric="minisblack")
    jpeg = encoded(PICTURE.convert("RGB"), "TIFF", compression="jpeg")
    return [*plain, *depths, encoded(PICTURE.convert("1"), "TIFF", compression="group4"), jpeg] + [
        buffer.getvalue() for buffer in buffers
    ]


REQUEST = GenerationRequest(TextPrompt("Normal chest X-ray"), 1, 64, 64, 20, 3.0, "dpm++", 7)
REF = CheckpointRef("latent_diffusion", "tiny", "ab" * 32)
RECIPES = (
    Recipe(REQUEST, REF, {"torch": "2", "threads": 2}, dump(PRESETS[1]), Edit("A mass"), REF),
    Recipe(REQUEST, REF, origin=Morph(REQUEST, 0.5)),
)


def _recipe(rng: random.Random) -> bytes:
    chunks = PngInfo()
    text = mutate_json(rng, dump(rng.choice(RECIPES))).decode(errors="surrogateescape")
    text = text.encode("utf-8", "replace").decode()
    (chunks.add_text if rng.random() < 0.2 and text.isascii() else chunks.add_itxt)(KEY, text)
    return encoded(PICTURE, "PNG", pnginfo=chunks)


def _read_recipe(data: bytes) -> None:
    says_synthetic(data)
    recipe = read_recipe(data)
    assert find_recipe(data) == recipe or recipe != recipe  # NaN among the facts of a run
    assert len(recipe.digest) == 8
    add_preset(recipe, PRESETS[2])


def _upload(rng: random.Random, pictures: Sequence[bytes]) -> list[NamedBytes]:
    members = {
        "pack/metadata.csv": b"image,label\nimages/a.png,normal\nimages/b.png,mass\n",
        "pack/images/a.png": rng.choice(pictures),
        "pack/images/b.png": rng.choice(pictures),
        "notes.txt": b"words" * 40,
    }
    if rng.random() < 0.5:
        members = {f"{name}/{name}_{i}.png": rng.choice(pictures) for name in ("ill", "normal") for i in range(2)}
    members = {_name(rng, name): _in_part(rng, data) for name, data in members.items()}
    if rng.random() < 0.15:
        return [NamedBytes(name, data) for name, data in members.items()]
    return [NamedBytes("x.zip", mutate_bytes(rng, _zipped(rng, members)))]


def _in_part(rng: random.Random, data: bytes) -> bytes:
    return mutate_bytes(rng, data) if rng.random() < 0.3 else data


def _name(rng: random.Random, name: str) -> str:
    return mutate_text(rng, name, [*WORDS, "../", "a/", "\\", ".zip", "metadata.csv"]) if rng.random() < 0.3 else name


def _zipped(rng: random.Random, members: Mapping[str, bytes]) -> bytes:
    way = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", way) as archive:
        for name, data in members.items():
            info: Any = zipfile.ZipInfo(name.encode("utf-8", "replace").decode()[:60_000])
            info.compress_type = way
            with archive.open(info, "w", force_zip64=rng.random() < 0.1) as file:
                file.write(data)
        archive.comment = json.dumps("words").encode()
    return buffer.getvalue()
