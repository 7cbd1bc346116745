"""`python -m postprocess`: enhance image files, or one newly generated image, and print the cost.

Reads PNG (8 or 16 bits), JPEG, TIFF and DICOM; writes `<stem>_<preset>.png` and prints one JSON line for each. A PNG of
this studio keeps its recipe and notice; other files get a text that says what was done. CLAHE works on 256 levels, so a
16-bit output of a preset that contains it has no more than these, smoothed by later operations; the other operations
keep the depth of the input.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from postprocess.cost import measure_cost
from postprocess.presets import ALL, PRESETS, Preset, apply, get_preset, read_preset
from xray_generator.export.archive import Source, text_chunks
from xray_generator.export.recipe import find_recipe
from xray_generator.images import encode_png, read_image
from xray_generator.types import StudioError

DEFAULT = "Balanced"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 if every image was written, 1 if one failed, 2 for a wrong option."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if bool(options.images) == (options.prompt is not None):
        parser.error("give either image files or --prompt TEXT")
    try:
        presets = _choose_presets(options.preset, options.preset_file)
        options.output_dir.mkdir(parents=True, exist_ok=True)
    except (StudioError, OSError) as error:
        return _complain(error)
    sources: dict[Path, Callable[[], Source]] = {path: partial(read, path) for path in options.images}
    if options.prompt is not None:
        name = Path(f"generated_{options.seed}")
        sources = {name: partial(generate, options.prompt, options.seed, options.checkpoint)}
    taken = {path.resolve() for path in options.images}
    failed = 0
    for path, load in sources.items():
        try:
            source = load()
            for preset in presets:
                _enhance(path, source, preset, options.output_dir, options.bits, taken)
        except (StudioError, OSError) as error:
            failed = _complain(error, path)
    return failed


def read(path: Path) -> Source:
    """Read an image file at full size, with its recipe if it has one; without its name, which may identify a patient.

    Raises:
        StudioError: as for `images.read_image`.
    """
    data, notes = path.read_bytes(), list[str]()
    image = read_image(data, notes)
    for note in notes:
        print(f"note: {path}: {note}", file=sys.stderr)
    return Source(image, ", ".join(["image file", *notes]), find_recipe(data))


def generate(prompt: str, seed: int, checkpoint: str | None) -> Source:
    """Generate one image from a prompt; only here is torch imported."""
    from xray_generator.export.pictures import pictures
    from xray_generator.requests import text_request
    from xray_generator.studio import Studio

    studio = Studio()
    request = text_request(prompt, seed=seed, size=studio.manifest(checkpoint).sizes[0])
    (picture,) = pictures(studio.generate(request, checkpoint), 0)
    return Source(picture.image, "generated", picture.recipe)


def _enhance(path: Path, source: Source, preset: Preset, folder: Path, bits: int, taken: set[Path]) -> None:
    """Write one enhanced image and print its line; `taken` holds the inputs and outputs so far, never overwritten."""
    target = folder / f"{path.stem}_{preset.slug}.png"
    if target.resolve() in taken:
        raise StudioError(f"{target} is already an input or an output of this call; rename one of the images.")
    taken.add(target.resolve())
    start = time.perf_counter()
    enhanced = apply(preset, source.image)
    milliseconds = (time.perf_counter() - start) * 1000
    target.write_bytes(encode_png(enhanced, text_chunks(source, preset), bits))
    line = {"source": str(path), "path": str(target), "preset": preset.name, "milliseconds": round(milliseconds, 3)}
    sys.stdout.write(json.dumps(line | asdict(measure_cost(source.image, enhanced))) + "\n")


def _choose_presets(name: str | None, file: Path | None) -> tuple[Preset, ...]:
    custom = (read_preset(file),) if file else ()
    if name is None:
        return custom or (get_preset(DEFAULT),)
    return (*PRESETS, *custom) if name.casefold() == ALL else (get_preset(name, custom),)


def _complain(error: Exception, path: Path | None = None) -> int:
    reason = error.strerror if path and isinstance(error, OSError) and error.strerror else error
    sys.stderr.write(f"error: {path}: {reason}\n" if path else f"error: {reason}\n")
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m postprocess", description="Enhance radiographs and report the cost.")
    parser.add_argument("images", metavar="IMAGE", nargs="*", type=Path, help="PNG, JPEG, TIFF or DICOM")
    parser.add_argument("--preset", help=f'a preset\'s name in any case, or "{ALL}" (default: {DEFAULT})')
    parser.add_argument("--preset-file", "--preset_file", type=Path, metavar="JSON", help="a preset of your own")
    parser.add_argument("--output_dir", "--output-dir", type=Path, required=True, metavar="DIR")
    parser.add_argument("--bits", type=int, choices=(8, 16), default=8, help="depth of the PNG (default: 8)")
    parser.add_argument("--prompt", metavar="TEXT", help="generate one image and enhance it, instead of reading files")
    parser.add_argument("--seed", type=int, default=0, help="seed of the generated image (default: 0)")
    parser.add_argument("--checkpoint", metavar="NAME", help="checkpoint to generate with (default: the studio's own)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
