"""`python -m xray_generator.generate`: images of a prompt or a class, as PNG files that carry their recipe.

    python -m xray_generator.generate --prompt "Normal chest X-ray, PA view" --num_images 4 --seed 1 --output_dir DIR
    python -m xray_generator.generate --checkpoint lung_ct_128 --label malignant --size 256 --dicom --output_dir DIR
    python -m xray_generator.generate --prompt "Normal chest X-ray" --adapter chest_xray_lora:0.8 --output_dir DIR

Prints one JSON line an image: path, seed, milliseconds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from postprocess.presets import Preset, get_preset, load_presets
from xray_generator.console import exit_code
from xray_generator.data.choices import expand_request
from xray_generator.export.files import make_folder
from xray_generator.studio import Studio
from xray_generator.types import MAX_IMAGES, GenerationRequest, StudioError, TextPrompt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m xray_generator.generate", description=__doc__.splitlines()[0])
    parser.add_argument("--prompt", help="what to draw; {mild|severe} and {1-5} draw one for each choice")
    parser.add_argument("--label", help="for a checkpoint that draws classes; a wrong name lists all")
    parser.add_argument("--num_images", type=int, default=1)
    parser.add_argument("--seed", type=int, default=-1, help="of the first image; image i has seed + i; -1: random")
    parser.add_argument("--size", type=int, help="pixels a side; default: the checkpoint's own")
    parser.add_argument("--steps", type=int, help="default: the checkpoint's recommendation")
    parser.add_argument("--guidance", type=float, help="default: the checkpoint's recommendation")
    parser.add_argument("--scheduler", help="default: the checkpoint's recommendation; a wrong name lists all")
    parser.add_argument("--eta", type=float, default=0.0, help="of ddim, from 0 to 1: noise that each step draws anew")
    parser.add_argument(
        "--adapter", action="append", default=[], metavar="NAME:WEIGHT", help="added to the checkpoint; repeat for more"
    )
    parser.add_argument("--preset", help="also write the image enhanced by this preset")
    parser.add_argument("--dicom", action="store_true", help="also write each image as DICOM, CT in Hounsfield units")
    parser.add_argument("--checkpoint", help="name; default: the first one found")
    parser.add_argument("--device", help="cpu, cuda, cuda:1; default: CUDA where there is one")
    parser.add_argument("--num_threads", type=int, help="CPU threads")
    parser.add_argument("--output_dir", type=Path, required=True)
    return parser


def _run(options: argparse.Namespace) -> None:
    studio = Studio(device=options.device, num_threads=options.num_threads)
    preset = get_preset(options.preset, load_presets(studio.preset_dir)) if options.preset else None
    if options.prompt is None and options.label is None and options.checkpoint is None:
        raise StudioError("Say what to draw: --prompt, or --checkpoint and --label.")
    manifest = studio.manifest(options.checkpoint)
    request = studio.make_request(
        manifest,
        options.prompt,
        options.label,
        size=options.size,
        seed=None if options.seed == -1 else options.seed,
        num_images=options.num_images,
        steps=options.steps,
        guidance=options.guidance,
        scheduler=options.scheduler,
        adapters=tuple(studio.read_adapter(text) for text in options.adapter),
        eta=options.eta,
    )
    requests = expand_request(request, MAX_IMAGES // request.num_images)
    make_folder(options.output_dir)  # before the work, not after it
    texts = " ".join(one.condition.text for one in requests if isinstance(one.condition, TextPrompt))
    for word in studio.unseen_words(texts, options.checkpoint) if texts else ():
        print(f"note: the model never saw the word {word!r} in training.", file=sys.stderr)  # noqa: T201
    for one in requests:
        _draw(one, studio, options, preset)


def _draw(request: GenerationRequest, studio: Studio, options: argparse.Namespace, preset: Preset | None) -> None:
    """Draw and save the images of a request, and print a line for each."""
    result = studio.generate(request, options.checkpoint)
    if isinstance(request.condition, TextPrompt) and (
        reading := studio.reading(request.condition.text, options.checkpoint)
    ):
        print(f"note: the prompt is read as {reading}.", file=sys.stderr)  # noqa: T201
    for note in result.notes:
        print(f"note: {note}", file=sys.stderr)  # noqa: T201
    for image in studio.save(result, options.output_dir, preset, dicom=options.dicom):
        line = {"path": str(image.path), "seed": image.seed, "milliseconds": image.milliseconds}
        enhanced = {"enhanced_path": str(image.enhanced_path)} if image.enhanced_path else {}
        dicom = {"dicom_path": str(image.dicom_path)} if image.dicom_path else {}
        print(json.dumps(line | enhanced | dicom))  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
