"""`python -m xray_generator.contact_sheet`: samples side by side, one row per prompt (or class) and guidance.

    python -m xray_generator.contact_sheet --prompt "Normal chest X-ray" --prompt "Chest X-ray, pneumonia" \\
        --guidance 1 --guidance 7 --num_images 16 --seed 1 --output outputs/visualizations/sheet.png

All rows share the seeds, so a column shows what the prompt and the guidance change. `--real DATASET` adds real images
of the validation split (of the classes that `--label` names), or makes a sheet of them alone; `--captions` also draws
samples from the captions of these images, in the same order. `--grid 8` puts eight images of a row on a line.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from xray_generator.console import exit_code
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Row, evenly
from xray_generator.export.files import make_folder, write_file
from xray_generator.export.sheet import REAL_NOTICE, SheetRow, encode_sheet
from xray_generator.images import MIN_SIDE, resize_square
from xray_generator.requests import describe_adapters, describe_condition, make_request, read_condition
from xray_generator.studio import Studio
from xray_generator.types import MAX_IMAGES, MAX_SIDE, NOTICE, Condition, GenerationResult, StudioError, TextPrompt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    _check(options)
    make_folder(options.output.parent)  # before the work, not after it
    real, label = _read_real(options)  # first: it fails sooner
    studio = Studio(num_threads=options.num_threads)
    rows = list(_draw_rows(options, studio))
    if options.captions:
        rows += _draw_captions(options, studio, real)
    if real:
        rows.append(SheetRow(label, [resize_square(row.image(), options.side) for row in real]))
    write_file(options.output, encode_sheet(rows, options.grid or options.num_images))


def _check(options: argparse.Namespace) -> None:
    if options.captions and options.real is None:
        raise StudioError("--captions draws the captions of real images. Give --real DATASET too.")
    if not options.prompt and not options.label and options.real is None:
        raise StudioError("There is nothing to show. Give --prompt TEXT or --label CLASS, --real DATASET, or both.")
    limits = {"num_images": (1, MAX_IMAGES), "grid": (1, MAX_IMAGES), "side": (MIN_SIDE, MAX_SIDE)}
    for name, (low, high) in limits.items():
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            raise StudioError(f"--{name} must be a whole number from {low} to {high:,}, not {value}.")


def _draw_rows(options: argparse.Namespace, studio: Studio) -> Iterator[SheetRow]:
    """A row for each prompt or class and each guidance."""
    asked = [*((prompt, None) for prompt in options.prompt), *((None, label) for label in options.label)]
    for condition in [read_condition(studio.manifest(options.checkpoint), *words) for words in asked]:
        for guidance in options.guidance or [None]:
            result = _generate(options, studio, condition, guidance, options.seed, options.num_images)
            seeds = f"seeds {result.seeds[0]} to {result.seeds[-1]}"
            yield _to_row([result], seeds, describe_condition(condition), options.side)


def _draw_captions(options: argparse.Namespace, studio: Studio, real: Sequence[Row]) -> Iterator[SheetRow]:
    """A row for each guidance: image i is drawn from the caption of real image i with seed + i."""
    for guidance in options.guidance or [None]:
        results = [
            _generate(options, studio, TextPrompt(row.prompt), guidance, options.seed + i) for i, row in enumerate(real)
        ]
        yield _to_row(results, f"from seed {options.seed} on", "the captions of the images below", options.side)


def _generate(
    options: argparse.Namespace,
    studio: Studio,
    condition: Condition,
    guidance: float | None,
    seed: int,
    num_images: int = 1,
) -> GenerationResult:
    request = make_request(
        condition,
        seed=seed,
        num_images=num_images,
        steps=options.steps,
        guidance=guidance,
        scheduler=options.scheduler,
        adapters=tuple(studio.read_adapter(text) for text in options.adapter),
        size=studio.manifest(options.checkpoint).sizes[0],
    )
    return studio.generate(request, options.checkpoint)


def _to_row(results: Sequence[GenerationResult], seeds: str, words: str, side: int) -> SheetRow:
    images = [resize_square(image, side) for result in results for image in result.images]
    request, name = results[0].request, results[0].checkpoint.name
    sampling = f"guidance {request.guidance_scale:g}, {request.num_inference_steps} {request.scheduler} steps"
    name += f" with {describe_adapters(request.adapters)}" if request.adapters else ""
    return SheetRow(f"{NOTICE} {len(images)} of {name}, {seeds}, {sampling}: {words}", images)


def _read_real(options: argparse.Namespace) -> tuple[Sequence[Row], str]:
    """Real images of the validation split at least as large as the checkpoint's, spread evenly, and their label."""
    if options.real is None:
        return (), ""
    size = Studio().manifest(options.checkpoint).sizes[0]  # a fair comparison: no image that was enlarged to it
    known = [row for row in read_dataset(options.real).split("val") if not 0 < row.native_size < size]
    known = [row for row in known if row.label in options.label] if options.label else known
    classes = f" of {', '.join(options.label)}" if options.label else ""
    if not known:
        raise StudioError(f"{options.real} has no image{classes} of {size} pixels or more in its validation split.")
    chosen = evenly(known, options.num_images)
    count = f"{len(chosen)} of the {len(known)}{classes} of the validation split with {size} pixels or more"
    return chosen, f"{REAL_NOTICE} {count}"


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
    parser.add_argument(
        "--adapter", action="append", default=[], metavar="NAME:WEIGHT", help="added to the checkpoint; repeat for more"
    )
    parser.add_argument("--side", type=int, default=128, help="pixels a side on the sheet")
    parser.add_argument("--real", type=Path, metavar="DATASET", help="a row of real images of the validation split")
    parser.add_argument("--captions", action="store_true", help="also draw samples from their captions")
    parser.add_argument("--num_threads", type=int, help="CPU threads")
    parser.add_argument("--output", type=Path, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
