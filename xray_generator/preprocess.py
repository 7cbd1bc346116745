"""`python -m xray_generator.preprocess`: a dataset with classes as gray squares, with statistics and corrupt files.

    python -m xray_generator.preprocess --input DIR --output_dir DIR --size 224 448

Writes `raw_image_statistics.csv`, `corrupt_files.csv`, and for each size a folder `<size>/<class>/*.png` with a
`metadata.csv`, which is itself a dataset. Padding keeps the aspect ratio; `images.csv` holds the split of each image
and the box of its content (top, left, height, width in pixels), so that a loss can leave out the padding.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from xray_generator.console import exit_code
from xray_generator.data.fitting import fit_square
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Row
from xray_generator.data.tables import write_table
from xray_generator.export.files import make_folder, write_file
from xray_generator.export.marks import mark_chunks, says_synthetic
from xray_generator.images import MIN_SIDE, encode_png
from xray_generator.types import MAX_SIDE, NOTICE, Image, StudioError

ALL = "all"  # the line of all classes in the statistics
BOX_COLUMNS = ("image", "label", "split", "size", "top", "left", "height", "width", "orig_width", "orig_height")
ROW_COLUMNS = ("image", "label", "split", "patient_id", "source", "license", "orig_width", "orig_height")


def preprocess(rows: Iterable[Row], output_dir: Path, sizes: Sequence[int]) -> tuple[int, list[tuple[str, str]]]:
    """Write the squares and the tables; return the number of images, and (file, reason) of each corrupt file.

    Raises:
        StudioError: no readable image with a class, or the folder cannot be written.
    """
    lines: list[Sequence[object]] = []  # of ROW_COLUMNS
    boxes: list[Sequence[object]] = []
    corrupt: list[tuple[str, str]] = []
    shapes: list[tuple[str, tuple[int, ...]]] = []
    taken: set[str] = set()
    for row in (row for row in rows if row.label):
        notes: list[str] = []
        try:
            pixels = row.image(notes)
        except (StudioError, OSError) as error:
            corrupt.append((str(row.path), str(error)))
            continue
        for note in notes:
            print(f"note: {row.path}: {note}", file=sys.stderr)  # noqa: T201
        height, width = pixels.shape
        name = _free_name(row, taken)
        shapes.append((row.label, pixels.shape))
        lines.append((name, row.label, row.split, row.patient_id, row.source, row.license, width, height))
        for size in sizes:
            box = _write_square(pixels, row.path, output_dir / f"{size}/{name}", size)
            boxes.append((f"{size}/{name}", row.label, row.split, size, *box, width, height))
    if not lines:
        raise StudioError(f"No image with a class could be read; {len(corrupt):,} corrupt files.")
    statistics = list(compute_statistics(shapes))
    tables = {
        "raw_image_statistics.csv": write_table(list(statistics[0]), (list(line.values()) for line in statistics)),
        "corrupt_files.csv": write_table(("file", "reason"), corrupt),
        "images.csv": write_table(BOX_COLUMNS, boxes),
        **{f"{size}/metadata.csv": write_table(ROW_COLUMNS, lines) for size in sizes},
    }
    for file, text in tables.items():
        write_file(output_dir / file, text.encode())
    return len(lines), corrupt


def compute_statistics(shapes: Sequence[tuple[str, tuple[int, ...]]]) -> Iterator[dict[str, object]]:
    """A line a class, then ALL: count, and mean, std (of the population), min, max of the sides and width / height.

    `shapes` holds (class, (height, width)) of each image.
    """
    for label in (*sorted({label for label, _ in shapes}), ALL):
        height, width = np.array([shape for name, shape in shapes if label in (name, ALL)], float).T
        line: dict[str, object] = {"label": label, "count": len(width)}
        for name, values in (("width", width), ("height", height), ("aspect", width / height)):
            for measure in ("mean", "std", "min", "max"):
                line[f"{name}_{measure}"] = round(float(getattr(values, measure)()), 4)
        yield line


def _write_square(pixels: Image, source: Path, path: Path, size: int) -> tuple[int, int, int, int]:
    """Write an image as a square, marked as synthetic if its source is; return the box of its content."""
    fitted = fit_square(pixels, size)
    marks = mark_chunks(NOTICE) if says_synthetic(source.read_bytes()) else {}
    make_folder(path.parent)
    write_file(path, encode_png(fitted.image, marks))
    return fitted.top, fitted.left, fitted.height, fitted.width


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
        raise StudioError(f"{options.input} names no classes. Give class folders, or a table with the column label.")
    make_folder(options.output_dir)
    num_images, corrupt = preprocess(dataset.rows, options.output_dir, sorted(set(options.size)))
    for note in dataset.skipped:
        print(f"note: {note}", file=sys.stderr)  # noqa: T201
    for path, reason in corrupt:
        print(f"corrupt: {path}: {reason}", file=sys.stderr)  # noqa: T201
    print(json.dumps({"images": num_images, "corrupt": len(corrupt)}))  # noqa: T201


def _free_name(row: Row, taken: set[str]) -> str:
    """`<class>/<stem>.png`, with a number appended if another file of the class has the same stem."""
    names = (f"{row.label}/{row.path.stem}{f'-{i}' if i else ''}.png" for i in range(len(taken) + 1))
    name = next(name for name in names if name.lower() not in taken)
    taken.add(name.lower())
    return name


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m xray_generator.preprocess", description=__doc__.splitlines()[0])
    parser.add_argument("--input", type=Path, required=True, help="class folders, or a dataset with labels")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--size", type=int, nargs="+", default=[224, 448], help="pixels a side; one or more")
    return parser


if __name__ == "__main__":
    sys.exit(main())
