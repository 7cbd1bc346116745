"""`python -m xray_generator.preprocess`: a set with classes as gray squares, its statistics and its corrupt files.

    python -m xray_generator.preprocess --input DIR --output_dir DIR --size 224 448

Writes `raw_image_statistics.csv`, `corrupt_files.csv`, and for each size a folder `<size>/<class>/*.png` with a
`metadata.csv` by which it is itself a dataset. The aspect ratio is kept by padding; `images.csv` holds each image's
split and the box of its content (top, left, height, width in pixels), by which a loss leaves the padding out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xray_generator.console import exit_code
from xray_generator.data.fitting import fit_square
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Row
from xray_generator.data.tables import write_table
from xray_generator.export.files import make_folder, write_file
from xray_generator.export.recipe import says_synthetic
from xray_generator.images import MIN_SIDE, encode_png
from xray_generator.types import MAX_SIDE, NOTICE, StudioError

ALL = "all"
BOX_COLUMNS = ("image", "label", "split", "size", "top", "left", "height", "width", "orig_width", "orig_height")
ROW_COLUMNS = ("image", "label", "split", "source", "license", "orig_width", "orig_height")
MEASURES = ("mean", "std", "min", "max")
STATISTICS_COLUMNS = (
    "label",
    "count",
    *(f"{name}_{measure}" for name in ("width", "height", "aspect") for measure in MEASURES),
)


@dataclass(frozen=True, slots=True)
class RawImage:
    """A readable image of the raw set; sides in pixels."""

    row: Row
    name: str  # `<class>/<file>.png` among the preprocessed
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Preprocessed:
    """What was written."""

    images: tuple[RawImage, ...]
    corrupt: tuple[tuple[str, str], ...]  # file, reason


def preprocess(rows: Iterable[Row], output_dir: Path, sizes: Sequence[int]) -> Preprocessed:
    """Write the squares and the tables; a corrupt file is listed and left out.

    Raises:
        StudioError: no readable image with a class, or the folder cannot be written.
    """
    images: list[RawImage] = []
    corrupt: list[tuple[str, str]] = []
    boxes: list[Sequence[object]] = []
    taken: set[str] = set()
    for row in (row for row in rows if row.label):
        try:
            pixels = row.image()
        except (StudioError, OSError) as error:
            corrupt.append((str(row.path), str(error)))
            continue
        raw = RawImage(row, _free_name(row, taken), pixels.shape[1], pixels.shape[0])
        images.append(raw)
        marks = {"Description": NOTICE} if says_synthetic(row.path.read_bytes()) else {}
        for size in sizes:
            fitted = fit_square(pixels, size)
            name = f"{size}/{raw.name}"
            make_folder((output_dir / name).parent)
            write_file(output_dir / name, encode_png(fitted.image, marks))
            box = (fitted.top, fitted.left, fitted.height, fitted.width)
            boxes.append((name, row.label, row.split, size, *box, raw.width, raw.height))
    if not images:
        raise StudioError(f"No image with a class could be read; {len(corrupt):,} corrupt files.")
    _write_tables(output_dir, sizes, images, corrupt, boxes)
    return Preprocessed(tuple(images), tuple(corrupt))


def statistics(images: Sequence[RawImage]) -> Iterator[Sequence[object]]:
    """Lines of STATISTICS_COLUMNS: each class, then all; aspect is width over height, std that of the population."""
    for label in (*sorted({image.row.label for image in images}), ALL):
        chosen = [image for image in images if label in (image.row.label, ALL)]
        sides = np.array([(image.width, image.height, image.width / image.height) for image in chosen])
        cells = np.stack([sides.mean(0), sides.std(0), sides.min(0), sides.max(0)], axis=1)
        yield label, len(chosen), *(round(float(cell), 4) for cell in cells.ravel())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    for size in options.size:
        if not MIN_SIDE <= size <= MAX_SIDE:
            raise StudioError(f"--size must be a whole number from {MIN_SIDE} to {MAX_SIDE:,}, not {size}.")
    if options.output_dir.resolve().is_relative_to(options.input.resolve()):
        raise StudioError("--output_dir must not lie inside --input: its folders would be read as classes.")
    dataset = read_dataset(options.input)
    if not any(row.label for row in dataset.rows):
        raise StudioError(f"{options.input} names no classes: give class folders, or a table with a column label.")
    make_folder(options.output_dir)
    done = preprocess(dataset.rows, options.output_dir, sorted(set(options.size)))
    for note in dataset.skipped:
        print(f"note: {note}", file=sys.stderr)  # noqa: T201
    for path, reason in done.corrupt:
        print(f"corrupt: {path}: {reason}", file=sys.stderr)  # noqa: T201
    print(json.dumps({"images": len(done.images), "corrupt": len(done.corrupt)}))  # noqa: T201


def _free_name(row: Row, taken: set[str]) -> str:
    """`<class>/<stem>.png`, numbered on where another file of the class has the stem."""
    names = (f"{row.label}/{row.path.stem}{f'-{i}' if i else ''}.png" for i in range(len(taken) + 1))
    name = next(name for name in names if name.lower() not in taken)
    taken.add(name.lower())
    return name


def _write_tables(
    folder: Path,
    sizes: Sequence[int],
    images: Sequence[RawImage],
    corrupt: Sequence[Sequence[object]],
    boxes: Sequence[Sequence[object]],
) -> None:
    lines = [
        (image.name, image.row.label, image.row.split, image.row.source, image.row.license, image.width, image.height)
        for image in images
    ]
    tables: dict[str, tuple[Sequence[str], Iterable[Sequence[object]]]] = {
        "raw_image_statistics.csv": (STATISTICS_COLUMNS, statistics(images)),
        "corrupt_files.csv": (("file", "reason"), corrupt),
        "images.csv": (BOX_COLUMNS, boxes),
    }
    tables |= {f"{size}/metadata.csv": (ROW_COLUMNS, lines) for size in sizes}
    for name, (header, rows) in tables.items():
        write_file(folder / name, write_table(header, rows).encode())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m xray_generator.preprocess", description=__doc__.splitlines()[0])
    parser.add_argument("--input", type=Path, required=True, help="class folders, or a dataset with labels")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--size", type=int, nargs="+", default=[224, 448], help="pixels a side; one or more")
    return parser


if __name__ == "__main__":
    sys.exit(main())
