"""`python -m xray_generator.phantom`: drawn cilia in cross section as class folders, with their truth and a sheet.

    python -m xray_generator.phantom --output_dir DIR --num_images 100 --size 448 --seed 0

Writes `<class>/<class>_<number>.png`, `truth.csv` and `contact_sheet.png`. An image depends on seed, class and number
alone: more images or fewer classes change none of them.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import degrees
from pathlib import Path

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont

from xray_generator.console import exit_code
from xray_generator.data.axoneme import CLASSES, Axoneme, draw_native_size, draw_truth
from xray_generator.data.axoneme_drawing import render
from xray_generator.data.fitting import fit_square
from xray_generator.data.tables import write_table
from xray_generator.export.files import make_folder, write_file
from xray_generator.images import encode_png, from_uint8
from xray_generator.types import MAX_SIDE, NOTICE, Image, StudioError

MIN_PHANTOM = 64  # pixels a side; below, no arm can be seen
MAX_NUMBER = 100_000
COLUMNS = (
    "image",
    "label",
    "width",
    "height",
    "nm_per_pixel",
    "doublets",
    "outer_arms",
    "inner_arms",
    "spokes",
    "central_microtubules",
    "membrane_major_nm",
    "membrane_minor_nm",
    "center_x",
    "center_y",
    "obliquity_degrees",
    "smear_nm",
    "compression",
    "neighbor",
    "microvillus",
)
SHEET_COLUMNS, SHEET_SIDE, CAPTION_HEIGHT, BAR_NM = 6, 224, 26, 100


@dataclass(frozen=True, slots=True)
class Phantom:
    """A drawn micrograph and what it shows."""

    truth: Axoneme
    number: int
    image: Image


def draw_phantom(label: str, number: int, seed: int, size: int | None) -> Phantom:
    """Image `number` of a class; `size` None draws a native size and aspect ratio.

    Raises:
        StudioError: no such class.
    """
    streams = np.random.SeedSequence([seed, zlib.crc32(label.encode()), number]).spawn(3)
    truth_rng, size_rng, image_rng = map(np.random.default_rng, streams)
    truth = draw_truth(label, truth_rng)
    height, width = (size, size) if size is not None else draw_native_size(size_rng)
    return Phantom(truth, number, render(truth, height, width, image_rng))


def truth_line(phantom: Phantom) -> list[object]:
    """The truth in the order of COLUMNS."""
    truth, (height, width) = phantom.truth, phantom.image.shape
    center = truth.to_pixels(np.zeros((1, 2)), height, width)[0]
    return [
        _name(phantom),
        truth.label,
        width,
        height,
        round(truth.nm_per_pixel(height, width), 4),
        len(truth.doublets),
        sum(d.outer_arm for d in truth.doublets),
        sum(d.inner_arm for d in truth.doublets),
        sum(d.spoke for d in truth.doublets),
        len(truth.central),
        round(truth.membrane.major, 2),
        round(truth.membrane.minor, 2),
        round(center[0], 2),
        round(center[1], 2),
        round(degrees(truth.obliquity), 3),
        round(truth.smear_nm(), 3),
        round(truth.compression, 4),
        int(truth.neighbor_angle is not None),
        int(truth.microvillus is not None),
    ]


def encode_phantom_sheet(rows: Sequence[Sequence[Phantom]]) -> bytes:
    """A captioned line of images a class, each with a bar of 100 nm, as one PNG that says that it is drawn."""
    width = SHEET_SIDE * SHEET_COLUMNS
    strips = [_caption(f"{NOTICE} Phantoms of ciliary cross sections, drawn, not measured. Bar: {BAR_NM} nm.", width)]
    for row in rows:
        label = row[0].truth.label
        tiles = np.concatenate([_tile(phantom) for phantom in row[:SHEET_COLUMNS]], axis=1)
        strips += [
            _caption(f"{label}: {CLASSES[label].title}", width),
            np.pad(tiles, ((0, 0), (0, width - tiles.shape[1]))),
        ]
    return encode_png(np.concatenate(strips), {"Description": NOTICE})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    _check(options)
    make_folder(options.output_dir)
    lines: list[list[object]] = []
    rows: list[list[Phantom]] = []
    for label in dict.fromkeys(options.classes):
        make_folder(options.output_dir / label)
        rows.append([])
        for number in range(1, options.num_images + 1):
            phantom = draw_phantom(label, number, options.seed, None if options.native else options.size)
            write_file(options.output_dir / _name(phantom), encode_png(phantom.image, {"Description": NOTICE}))
            lines.append(truth_line(phantom))
            rows[-1] += [phantom] if number <= SHEET_COLUMNS else []
    write_file(options.output_dir / "truth.csv", write_table(COLUMNS, lines).encode())
    write_file(options.output_dir / "contact_sheet.png", encode_phantom_sheet(rows))
    print(json.dumps({"output_dir": str(options.output_dir), "classes": len(rows), "images": len(lines)}))  # noqa: T201


def _check(options: argparse.Namespace) -> None:
    unknown = [name for name in options.classes if name not in CLASSES]
    if unknown:
        raise StudioError(f"Unknown class {unknown[0]!r}; allowed: {', '.join(CLASSES)}.")
    limits = {"num_images": (1, MAX_NUMBER), "size": (MIN_PHANTOM, MAX_SIDE), "seed": (0, 2**32 - 1)}
    for name, (low, high) in limits.items():
        if not low <= getattr(options, name) <= high:
            raise StudioError(f"--{name} must be a whole number from {low} to {high:,}, not {getattr(options, name)}.")


def _name(phantom: Phantom) -> str:
    return f"{phantom.truth.label}/{phantom.truth.label}_{phantom.number:04d}.png"


def _caption(text: str, width: int) -> Image:
    banner = PILImage.new("L", (width, CAPTION_HEIGHT), 0)
    ImageDraw.Draw(banner).text((6, 4), text, fill=235, font=ImageFont.load_default(size=15))
    return from_uint8(np.asarray(banner))


def _tile(phantom: Phantom) -> Image:
    fitted = fit_square(phantom.image, SHEET_SIDE)
    tile = fitted.image.copy()
    bar = round(BAR_NM / phantom.truth.nm_per_pixel(fitted.height, fitted.width))
    tile[-12:-7, 7 : 9 + bar], tile[-11:-8, 8 : 8 + bar] = 1.0, 0.0
    tile[:, -1] = 1.0
    return tile


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m xray_generator.phantom", description=__doc__.splitlines()[0])
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--num_images", type=int, default=100, help="of each class")
    parser.add_argument("--size", type=int, default=448, help="pixels a side")
    parser.add_argument("--native", action="store_true", help="sizes and aspect ratios as micrographs come")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--classes", nargs="+", default=list(CLASSES), help=f"default: all of {', '.join(CLASSES)}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
