"""`python -m xray_generator.contact_sheet`: samples side by side, a row per prompt, or class, and guidance.

    python -m xray_generator.contact_sheet --prompt "Normal chest X-ray" --prompt "Chest X-ray, pneumonia" \\
        --guidance 1 --guidance 7 --num_images 16 --seed 1 --output outputs/visualizations/sheet.png

All rows share the seeds, so a column shows what the words and the guidance change. `--real DATASET` adds real images of
the validation split for comparison, of the classes where `--label` names some, or is a sheet by itself; with
`--captions` the words of these very images are drawn, in the same order. `--grid 8` lays out each row's images eight to
a line.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw

from xray_generator import __version__
from xray_generator.console import exit_code
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Row as Film
from xray_generator.data.rows import evenly
from xray_generator.export.files import make_folder, write_file
from xray_generator.images import MIN_SIDE, encode_png, from_uint8, grid, resize_square
from xray_generator.requests import read_condition, describe_condition, make_request, text_request
from xray_generator.studio import Studio
from xray_generator.types import MAX_IMAGES, MAX_SIDE, NOTICE, PURPOSE, Image, StudioError

REAL_NOTICE = f"Images of the data set, not generated. {PURPOSE}"  # the set may hold drawn phantoms
MIN_WIDTH = 480  # pixels of a sheet, so that its words can be read
LINE_HEIGHT, CHARACTER_WIDTH = 14, 6  # pixels


@dataclass(frozen=True, slots=True)
class Row:
    """Images of one kind, (side, side) each, and what they are: a notice first."""

    label: str
    images: Sequence[Image]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    _check(options)
    make_folder(options.output.parent)  # before the work, not after it
    films, label = _films(options)  # first: it fails sooner
    real = [Row(label, [resize_square(film.image(), options.side) for film in films])] if films else []
    rows = [*_generated_rows(options), *_captioned_rows(options, films), *real]
    sheet = encode_sheet(rows, options.grid or options.num_images)
    write_file(options.output, sheet)


def encode_sheet(rows: Sequence[Row], num_columns: int) -> bytes:
    """Labeled rows as one PNG, `num_columns` images to a line; its text chunks say the same as its labels."""
    blocks = [grid(row.images, num_columns) for row in rows]
    width = max(MIN_WIDTH, *(block.shape[1] for block in blocks))
    strips = []
    for row, block in zip(rows, blocks, strict=True):
        strips += [_label(row.label, width), np.pad(block, ((0, 0), (0, width - block.shape[1])))]
    description = "\n".join(row.label for row in rows)
    return encode_png(np.concatenate(strips), {"Description": description, "Software": f"xray_generator {__version__}"})


def _label(text: str, width: int) -> Image:
    lines = textwrap.wrap(text, width // CHARACTER_WIDTH)
    banner = PILImage.new("L", (width, LINE_HEIGHT * len(lines) + 4), 0)
    ImageDraw.Draw(banner).multiline_text((4, 1), "\n".join(lines), fill=230, spacing=2)
    return from_uint8(np.asarray(banner))


def _check(options: argparse.Namespace) -> None:
    if options.captions and options.real is None:
        raise StudioError("--captions are those of real images. Give --real DATASET too.")
    if not options.prompt and not options.label and options.real is None:
        raise StudioError("There is nothing to show. Give --prompt TEXT or --label CLASS, --real DATASET, or both.")
    limits = {"num_images": (1, MAX_IMAGES), "grid": (1, MAX_IMAGES), "side": (MIN_SIDE, MAX_SIDE)}
    for name, (low, high) in limits.items():
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            raise StudioError(f"--{name} must be a whole number from {low} to {high:,}, not {value}.")


def _generated_rows(options: argparse.Namespace) -> Iterator[Row]:
    studio = Studio(num_threads=options.num_threads)
    asked = [*((prompt, None) for prompt in options.prompt), *((None, label) for label in options.label)]
    for condition in [read_condition(studio.manifest(options.checkpoint), *words) for words in asked]:
        for guidance in options.guidance or [None]:
            request = make_request(
                condition,
                seed=options.seed,
                num_images=options.num_images,
                steps=options.steps,
                guidance=guidance,
                scheduler=options.scheduler,
                size=studio.manifest(options.checkpoint).sizes[0],
            )
            result = studio.generate(request, options.checkpoint)
            made = result.request
            label = (
                f"{NOTICE} {made.num_images} of {result.checkpoint.name}, seeds {made.seed} to {result.seeds[-1]}, "
                f"guidance {made.guidance_scale:g}, {made.num_inference_steps} {made.scheduler} steps: "
                f"{describe_condition(condition)}"
            )
            yield Row(label, [resize_square(image, options.side) for image in result.images])


def _captioned_rows(options: argparse.Namespace, films: Sequence[Film]) -> Iterator[Row]:
    studio = Studio(num_threads=options.num_threads)
    for guidance in (options.guidance or [None]) if options.captions else ():
        results = [
            studio.generate(
                text_request(
                    film.prompt,
                    seed=options.seed + i,
                    steps=options.steps,
                    scheduler=options.scheduler,
                    guidance=guidance,
                    size=studio.manifest(options.checkpoint).sizes[0],
                ),
                options.checkpoint,
            )
            for i, film in enumerate(films)
        ]
        made = results[0].request
        label = (
            f"{NOTICE} {len(results)} of {results[0].checkpoint.name}, from seed {made.seed} on, guidance "
            f"{made.guidance_scale:g}, {made.num_inference_steps} {made.scheduler} steps: the captions of the images "
            "below"
        )
        yield Row(label, [resize_square(result.images[0], options.side) for result in results])


def _films(options: argparse.Namespace) -> tuple[Sequence[Film], str]:
    if options.real is None:
        return (), ""
    size = Studio().manifest(options.checkpoint).sizes[0]  # a fair comparison: no image that was enlarged to it
    known = [row for row in read_dataset(options.real).split("val") if not 0 < row.native_size < size]
    known = [row for row in known if row.label in options.label] if options.label else known
    said = f" of {', '.join(options.label)}" if options.label else ""
    if not known:
        raise StudioError(f"{options.real} has no image{said} of {size} pixels or more in its validation split.")
    chosen = evenly(known, options.num_images)
    return chosen, (
        f"{REAL_NOTICE} {len(chosen)} of the {len(known)}{said} of the validation split with {size} pixels or more"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m xray_generator.contact_sheet", description="Samples side by side.")
    parser.add_argument("--prompt", action="append", default=[], help="one row; repeat for more")
    parser.add_argument("--label", action="append", default=[], metavar="CLASS", help="one row; repeat for more")
    parser.add_argument("--guidance", action="append", type=float, help="one row for each of these; repeat for more")
    parser.add_argument("--num_images", type=int, default=16)
    parser.add_argument("--grid", type=int, metavar="COLUMNS", help="images to a line; default: all of a row")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--scheduler")
    parser.add_argument("--checkpoint")
    parser.add_argument("--side", type=int, default=128, help="pixels a side on the sheet")
    parser.add_argument("--real", type=Path, metavar="DATASET", help="a row of real images of the validation split")
    parser.add_argument("--captions", action="store_true", help="draw what the captions of these real images say")
    parser.add_argument("--num_threads", type=int, help="CPU threads")
    parser.add_argument("--output", type=Path, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
