"""`python -m xray_generator.reproduce`: draw an image again from the recipe in its file, and compare the two.

    python -m xray_generator.reproduce outputs/generated/chest_xray_256_seed1_0123abcd.png --output again.png
    python -m xray_generator.reproduce edited.png --source uploaded.png

Reads a PNG or DICOM file of this studio: drawn, enlarged, morphed, edited or enhanced. Draws with as many threads as
the recipe names, and on the CPU where it did. The exit code is 0 where the images are identical or near (no pixel
differs by more than 2 of 255 gray levels, as other versions or another machine may cause), 3 where they differ more,
and 1 where the image cannot be drawn here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from postprocess.presets import apply, from_data
from xray_generator import generation, images
from xray_generator.checkpoints import Manifest
from xray_generator.console import exit_code
from xray_generator.dicom import is_dicom, read_values
from xray_generator.dicom.hounsfield import Window
from xray_generator.export.files import make_folder, write_file
from xray_generator.export.pictures import Picture, pictures
from xray_generator.export.recipe import Recipe, add_preset, read_recipe
from xray_generator.gallery import differences, read_source
from xray_generator.registry import modality
from xray_generator.studio import Studio
from xray_generator.types import Edit, GenerationResult, Image, Morph, StudioError, quote

NEAR = 2.0  # gray levels of 8 bits
DIFFERS = 3  # exit code
BIT_DEPTH = 24  # the place of this byte in every PNG
UNKNOWN_CAUSE = (
    "Weights, versions, device and threads are those of the recipe: the file was changed after it was drawn, or the "
    "studio's code was."
)


@dataclass(frozen=True, slots=True, eq=False)
class Reproduction:
    """An image drawn again from a recipe, and how far it is from the one in the file."""

    picture: Picture  # drawn here, with the recipe of this run
    largest: float  # difference of a pixel, in gray levels of 8 bits
    num_different: int  # pixels
    causes: tuple[str, ...] = ()  # why they may differ, a sentence each; () where none does

    @property
    def is_near(self) -> bool:
        """Whether no pixel differs by more than 2 gray levels."""
        return self.largest <= NEAR

    @property
    def verdict(self) -> str:
        """The comparison in words."""
        height, width = self.picture.image.shape
        if not self.num_different:
            return f"bit-identical: all {width * height:,} pixels are equal"
        word = "near" if self.is_near else "different"
        share = f"{self.num_different:,} of {width * height:,} pixels differ"
        return f"{word}: {share}, by {self.largest:.3g} of 255 gray levels at most"


def reproduce(studio: Studio, recipe: Recipe, data: bytes, source: Image | None = None) -> Reproduction:
    """Draw the image of a recipe again and compare it with that of the file, PNG or DICOM.

    `source` is the image that was edited, where the recipe is of an edit of an uploaded image.

    Raises:
        StudioError: the weights are not here, the source is missing or another, or the file has another size.
    """
    manifest = _find_manifest(studio, recipe)
    upscaler = studio.upscaler_manifest(modality(manifest))
    if recipe.upscaler is not None and upscaler is None:
        raise StudioError(f"The weights that enlarged this image ({quote(recipe.upscaler.full_name)}) are not here.")
    result = _draw(studio, recipe, manifest, source)
    tries = [_compare(picture, data, manifest.hu_window) for picture in _enhance(result, recipe)]
    nearest = min(tries, key=lambda found: found.largest)
    if not nearest.num_different:
        return nearest
    causes = differences(
        replace(recipe, preset=None),  # whose operations are in the recipe
        manifest,
        (),
        upscaler.ref if upscaler else None,
        [adapter.ref for adapter in studio.adapters(manifest)],
        result.runtime,
    )
    return replace(nearest, causes=causes or (UNKNOWN_CAUSE,))


def _find_manifest(studio: Studio, recipe: Recipe) -> Manifest:
    wanted = recipe.checkpoint.full_name
    found = next((manifest for manifest in studio.checkpoints() if manifest.ref.full_name == wanted), None)
    if found is None:
        name, sha256 = quote(wanted), recipe.checkpoint.sha256[:12]
        raise StudioError(f"The weights that made this image ({name}, SHA-256 {quote(sha256)}) are not here.")
    return found


def _draw(studio: Studio, recipe: Recipe, manifest: Manifest, source: Image | None) -> GenerationResult:
    name, request, origin = manifest.ref.full_name, recipe.request, recipe.origin
    _check_source(origin.image_sha256 if isinstance(origin, Edit) else "", source)
    match origin:
        case Edit():
            return studio.task(generation.edit, source, request, origin, checkpoint=name)().after
        case Morph():
            return studio.task(generation.morph, request, origin, checkpoint=name)()
        case None:
            return studio.generate(request, name)


def _check_source(sha256: str, source: Image | None) -> None:
    if sha256 and source is None:
        raise StudioError("This is an edit of an image that was uploaded: give that image as --source FILE.")
    if source is not None and not sha256:
        raise StudioError("This image was not made from an uploaded one: leave out --source.")
    if source is not None and generation.hash_levels(source) != sha256:
        raise StudioError("The source is not the image that was edited: it has other gray values.")


def _enhance(result: GenerationResult, recipe: Recipe) -> Iterator[Picture]:
    """The image; where it was enhanced, from what the model drew, and from the 8 bits of its file: either was done."""
    (raw,) = pictures(result, 0)
    if recipe.preset is None:
        yield raw
        return
    preset = from_data(recipe.preset)
    for image in (raw.image, images.from_uint8(images.to_uint8(raw.image))):
        yield Picture(apply(preset, image), add_preset(raw.recipe, preset))


def _compare(picture: Picture, data: bytes, window: Window | None) -> Reproduction:
    """Both as the file stores them: gray levels of the same depth, or whole Hounsfield units."""
    if is_dicom(data):
        again = picture.dicom(window)
    else:
        again = images.encode_png(picture.image, bits=8 if data[BIT_DEPTH] == 8 else 16)
    scale = None if picture.recipe.preset else window  # as in DICOM files of ours
    before, after = _levels(data, scale), _levels(again, scale)
    if before.shape != after.shape:
        sizes = [f"{levels.shape[1]} x {levels.shape[0]}" for levels in (before, after)]
        raise StudioError(f"The file has {sizes[0]} pixels and its recipe draws {sizes[1]}: it was scaled or cropped.")
    change = np.abs(after - before)
    return Reproduction(picture, float(change.max()), int(np.count_nonzero(change)))


def _levels(data: bytes, window: Window | None) -> NDArray[np.float32]:
    """(H, W) in gray levels of 8 bits, 0 to 255 in the window, not rounded."""
    if not is_dicom(data):
        return images.read_image(data) * 255
    values = read_values(data)
    return values if window is None else (values - window.low) * (255 / window.width)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 identical or near, 3 different, 1 with a message where the image cannot be drawn."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m xray_generator.reproduce", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, metavar="FILE", help="a PNG or DICOM file of this studio")
    parser.add_argument("--source", type=Path, metavar="FILE", help="the uploaded image, where the file is its edit")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="keep the image drawn here: .png, or .dcm for DICOM"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1; default: the recipe's kind where it is here")
    parser.add_argument("--num_threads", type=int, help="CPU threads; default: as many as the recipe names")
    return parser


def _run(options: argparse.Namespace) -> int:
    data = options.file.read_bytes()
    recipe = read_recipe(data)
    source = read_source(options.source.read_bytes(), "source").image if options.source else None
    if options.output is not None:
        if options.output.suffix.lower() not in (".png", ".dcm"):
            raise StudioError(f"--output must end in .png or .dcm, not {quote(options.output.name)}.")
        make_folder(options.output.parent)  # before the work, not after it
    threads = recipe.runtime.get("threads")
    is_cpu = str(recipe.runtime.get("device")).startswith("cpu")
    studio = Studio(
        device=options.device or ("cpu" if is_cpu else None),
        num_threads=options.num_threads or (threads if isinstance(threads, int) else None),
    )
    found = reproduce(studio, recipe, data, source)
    print(f"{options.file}: {found.verdict}")  # noqa: T201
    for cause in found.causes:
        print(f"likely cause: {cause}")  # noqa: T201
    if options.output is not None:
        is_png = options.output.suffix.lower() == ".png"
        window = studio.manifest(recipe.checkpoint.full_name).hu_window
        write_file(options.output, found.picture.png() if is_png else found.picture.dicom(window))
    return 0 if found.is_near else DIFFERS


if __name__ == "__main__":
    sys.exit(main())
