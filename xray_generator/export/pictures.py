"""The images of a result as files: raw and enhanced, each with the recipe to reproduce it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from postprocess.presets import Preset, apply
from xray_generator.dicom.hounsfield import Window
from xray_generator.export.dicom import encode_dicom
from xray_generator.export.files import zip_files
from xray_generator.export.marks import KEY
from xray_generator.export.recipe import Recipe, add_preset, encode_png, recipes
from xray_generator.types import NOTICE, GenerationResult, Image


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An image, raw or enhanced, with the recipe to reproduce it."""

    image: Image
    recipe: Recipe

    @property
    def file_name(self) -> str:
        """The name of the PNG."""
        return file_name(self.recipe)

    @property
    def dicom_name(self) -> str:
        """The name of the DICOM file."""
        return f"{self.file_name.removesuffix('.png')}.dcm"

    def png(self) -> bytes:
        """8-bit gray PNG that holds the recipe."""
        return encode_png(self.image, self.recipe)

    def dicom(self, window: Window | None) -> bytes:
        """A DICOM file marked as synthetic: CT in Hounsfield units with a window, else a Secondary Capture.

        An enhanced image is the latter with a window too: its gray levels are no longer Hounsfield units.
        """
        return encode_dicom(self.image, self.recipe, None if self.recipe.preset else window)


def file_name(recipe: Recipe) -> str:
    """<checkpoint>_seed<seed>_<digest>.png: equal recipes give equal names, different ones almost surely others."""
    name = Path(recipe.checkpoint.name).name  # a foreign recipe may name a place
    return f"{name}_seed{recipe.request.seed}_{recipe.digest}.png"


def pictures(result: GenerationResult, index: int, preset: Preset | None = None) -> tuple[Picture, ...]:
    """Image `index` of a result: raw, and enhanced if the preset has operations."""
    raw = Picture(result.images[index], recipes(result)[index])
    if preset is None or not preset.operations:
        return (raw,)
    return raw, Picture(apply(preset, raw.image), add_preset(raw.recipe, preset))


def archive(result: GenerationResult, preset: Preset) -> bytes:
    """A ZIP of every image of a result, raw and (with operations in the preset) enhanced, each with its recipe."""
    notice = f"{NOTICE}\nEach PNG holds its recipe in the text chunk '{KEY}'.\n"
    drawn = (picture for index in range(len(result.images)) for picture in pictures(result, index, preset))
    return zip_files(chain([("NOTICE.txt", notice)], ((picture.file_name, picture.png()) for picture in drawn)))
