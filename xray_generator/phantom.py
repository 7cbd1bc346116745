"""`python -m xray_generator.phantom`: synthetic micrographs of cilia as class folders, with their ground truth.

    python -m xray_generator.phantom --output_dir DIR --num_images 100 --size 448 --seed 0

Writes `<class>/<class>_<number>.png`, `truth.csv` and `contact_sheet.png`. An image depends on seed, class and number
alone: it stays the same when more images or fewer classes are drawn.
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

from xray_generator.console import exit_code
from xray_generator.data.axoneme import CLASSES, Axoneme, draw_native_size, draw_truth
from xray_generator.data.axoneme_drawing import render
from xray_generator.data.fitting import fit_square
from xray_generator.data.tables import write_table
from xray_generator.export.files import make_folder, write_file
from xray_generator.export.sheet import SheetRow, encode_sheet
from xray_generator.images import encode_png
from xray_generator.types import MAX_SIDE, NOTICE, Image, StudioError

MIN_PHANTOM = 64  # pixels a side; below, dynein arms cannot be seen
MAX_NUMBER = 100_000
SHEET_COLUMNS, SHEET_SIDE, BAR_NM = 6, 224, 100


@dataclass(frozen=True, slots=True)
class Phantom:
    """A synthetic micrograph and its ground truth."""

    truth: Axoneme
    number: int
    image: Image

    @property
    def file_name(self) -> str:
        """`<class>/<class>_<number>.png`."""
        return f"{self.truth.label}/{self.truth.label}_{self.number:04d}.png"

    def facts(self) -> dict[str, object]:
        """The line of `truth.csv`: column -> value; lengths in nm, the center in pixels."""
        truth, (height, width) = self.truth, self.image.shape
        center = truth.to_pixels(np.zeros((1, 2)), height, width)[0]
        return {
            "image": self.file_name,
            "label": truth.label,
            "width": width,
            "height": height,
            "nm_per_pixel": round(truth.nm_per_pixel(height, width), 4),
            "doublets": len(truth.doublets),
            "outer_arms": sum(d.outer_arm for d in truth.doublets),
            "inner_arms": sum(d.inner_arm for d in truth.doublets),
            "spokes": sum(d.spoke for d in truth.doublets),
            "central_microtubules": len(truth.central),
            "membrane_major_nm": round(truth.membrane.major, 2),
            "membrane_minor_nm": round(truth.membrane.minor, 2),
            "center_x": round(center[0], 2),
            "center_y": round(center[1], 2),
            "obliquity_degrees": round(degrees(truth.obliquity), 3),
            "smear_nm": round(truth.smear_nm(), 3),
            "compression": round(truth.compression, 4),
            "neighbor": int(truth.neighbor_angle is not None),
            "microvillus": int(truth.microvillus is not None),
        }


def draw_phantom(label: str, number: int, seed: int, size: int | None) -> Phantom:
    """Draw image `number` of a class, a square of `size` pixels a side; None: a random size and aspect ratio.

    Raises:
        StudioError: no such class.
    """
    streams = np.random.SeedSequence([seed, zlib.crc32(label.encode()), number]).spawn(3)
    truth_rng, size_rng, image_rng = map(np.random.default_rng, streams)
    truth = draw_truth(label, truth_rng)
    height, width = (size, size) if size is not None else draw_native_size(size_rng)
    return Phantom(truth, number, render(truth, height, width, image_rng))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    _check(options)
    make_folder(options.output_dir)
    lines: list[dict[str, object]] = []
    rows: list[SheetRow] = []
    for label in dict.fromkeys(options.classes):
        make_folder(options.output_dir / label)
        tiles = []
        for number in range(1, options.num_images + 1):
            phantom = draw_phantom(label, number, options.seed, None if options.native else options.size)
            write_file(options.output_dir / phantom.file_name, encode_png(phantom.image, {"Description": NOTICE}))
            lines.append(phantom.facts())
            if number <= SHEET_COLUMNS:
                tiles.append(_draw_tile(phantom))
        rows.append(SheetRow(f"{NOTICE} Bar: {BAR_NM} nm. {label}: {CLASSES[label].title}", tiles))
    truth = write_table(list(lines[0]), (list(line.values()) for line in lines))
    write_file(options.output_dir / "truth.csv", truth.encode())
    write_file(options.output_dir / "contact_sheet.png", encode_sheet(rows, SHEET_COLUMNS))
    print(json.dumps({"output_dir": str(options.output_dir), "classes": len(rows), "images": len(lines)}))  # noqa: T201


def _check(options: argparse.Namespace) -> None:
    unknown = [name for name in options.classes if name not in CLASSES]
    if unknown:
        raise StudioError(f"Unknown class {unknown[0]!r}; allowed: {', '.join(CLASSES)}.")
    limits = {"num_images": (1, MAX_NUMBER), "size": (MIN_PHANTOM, MAX_SIDE), "seed": (0, 2**32 - 1)}
    for name, (low, high) in limits.items():
        if not low <= getattr(options, name) <= high:
            raise StudioError(f"--{name} must be a whole number from {low} to {high:,}, not {getattr(options, name)}.")


def _draw_tile(phantom: Phantom) -> Image:
    """(SHEET_SIDE, SHEET_SIDE): the image with a scale bar."""
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
    parser.add_argument("--native", action="store_true", help="random sizes and aspect ratios, as of real micrographs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--classes", nargs="+", default=list(CLASSES), help=f"default: all of {', '.join(CLASSES)}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
