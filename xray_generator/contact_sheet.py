"""`python -m xray_generator.contact_sheet`: samples side by side, a row per prompt and guidance.

    python -m xray_generator.contact_sheet --prompt "Normal chest X-ray" --prompt "Chest X-ray, pneumonia" \\
        --guidance 1 --guidance 7 --num_images 16 --seed 1 --output outputs/visualizations/sheet.png

All rows share the seeds, so a column shows what the words and the guidance change. `--real DATASET` adds rows of real
images of the validation split for comparison.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageDraw

from xray_generator.data.read import read_dataset
from xray_generator.devices import set_threads
from xray_generator.images import resize_square, to_uint8
from xray_generator.studio import Studio, text_request
from xray_generator.types import Image, StudioError

LABEL_HEIGHT = 18  # pixels


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault."""
    options = _parser().parse_args(arguments)
    try:
        rows = _generated_rows(options) + (_real_rows(options) if options.real else [])
    except StudioError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    save_sheet(rows, options.output)
    return 0


def save_sheet(rows: Sequence[tuple[str, Sequence[Image]]], path: Path) -> None:
    """Write labelled rows of equally sized images as one PNG."""
    strips = []
    for label, images in rows:
        strip = np.concatenate([to_uint8(image) for image in images], axis=1)
        strips += [_label(label, strip.shape[1]), strip]
    width = max(strip.shape[1] for strip in strips)
    padded = [np.pad(strip, ((0, 0), (0, width - strip.shape[1]))) for strip in strips]
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.fromarray(np.concatenate(padded)).save(path, optimize=True)


def _label(text: str, width: int) -> NDArray[np.uint8]:
    banner = PILImage.new("L", (width, LABEL_HEIGHT), 0)
    ImageDraw.Draw(banner).text((4, 2), text, fill=230)
    return np.asarray(banner)


def _generated_rows(options: argparse.Namespace) -> list[tuple[str, Sequence[Image]]]:
    set_threads(options.num_threads)
    studio = Studio()
    rows: list[tuple[str, Sequence[Image]]] = []
    for prompt in options.prompt:
        for guidance in options.guidance or [None]:
            request = text_request(
                prompt, seed=options.seed, num_images=options.num_images, steps=options.steps, guidance=guidance,
                scheduler=options.scheduler, size=studio.manifest(options.checkpoint).sizes[0],
            )  # fmt: skip
            result = studio.generate(request, options.checkpoint)
            made = result.request
            label = (
                f"seeds {made.seed}-{result.seeds[-1]}, guidance {made.guidance_scale:g}, "
                f"{made.num_inference_steps} {made.scheduler} steps: {prompt}"
            )
            rows.append((label, [resize_square(image, options.side) for image in result.images]))
    return rows


def _real_rows(options: argparse.Namespace) -> list[tuple[str, Sequence[Image]]]:
    unseen = [row for row in read_dataset(options.real).split("val") if row.native_size >= 256]
    chosen = unseen[:: max(1, len(unseen) // options.num_images)][: options.num_images]
    return [("real, validation split", [resize_square(row.image(), options.side) for row in chosen])]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m xray_generator.contact_sheet", description="Samples side by side.")
    parser.add_argument("--prompt", action="append", required=True, help="one row; repeat for more")
    parser.add_argument("--guidance", action="append", type=float, help="one row for each prompt; repeat for more")
    parser.add_argument("--num_images", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--scheduler")
    parser.add_argument("--checkpoint")
    parser.add_argument("--side", type=int, default=128, help="pixels a side on the sheet")
    parser.add_argument("--real", type=Path, metavar="DATASET", help="add a row of real images")
    parser.add_argument("--num_threads", type=int)
    parser.add_argument("--output", type=Path, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
