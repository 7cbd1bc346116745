"""One image enhanced by every preset, as a ZIP of PNGs with their costs, presets and a README."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields, replace

from postprocess.cost import Cost, measure_cost
from postprocess.presets import Preset, apply, to_json
from xray_generator.config import dump
from xray_generator.data.tables import write_table
from xray_generator.dicom.hounsfield import Window
from xray_generator.export.files import zip_files
from xray_generator.export.marks import SOFTWARE, mark_chunks
from xray_generator.export.recipe import Recipe, add_preset, recipe_chunks
from xray_generator.images import encode_png
from xray_generator.types import NOTICE, PURPOSE, Image

RAW = Preset("None")
RAW_NOTE = f"Raw image, stored as 8-bit gray. {PURPOSE}"
ENHANCED_NOTE = f"Enhanced for viewing; adds nothing to the raw image. {PURPOSE}"


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """An image to enhance and where it came from."""

    image: Image
    origin: str  # in words, for every file; never the name of an uploaded file, which may identify a patient
    recipe: Recipe | None = None  # of an image that this studio generated
    is_marked: bool = False  # the file says that it is synthetic
    hu_window: Window | None = None  # the Hounsfield units that 0 and 1 stand for; None: the image has none
    spacing_mm: tuple[float, float] | None = None  # between rows and between columns; None: not known

    @property
    def is_synthetic(self) -> bool:
        """Whether the image is known to be synthetic; False means "not known"."""
        return self.recipe is not None or self.is_marked

    def through(self, window: Window) -> Source:
        """The image as another window shows it; the same where it has no Hounsfield units.

        A recipe would draw it in its own window, so it is left out; that the image is synthetic is not.
        """
        if self.hu_window is None or window == self.hu_window:
            return self
        return replace(
            self,
            image=window.apply(self.hu_window.invert(self.image)),
            origin=f"{self.origin}, shown from {window.low:g} to {window.high:g} HU",
            recipe=None,
            is_marked=self.is_synthetic,
            hu_window=window,
        )

    @property
    def digest(self) -> str:
        """Sixteen hex digits of a hash of pixels and shape."""
        return hashlib.sha256(repr(self.image.shape).encode() + self.image.tobytes()).hexdigest()[:16]


def encode_enhanced(source: Source, preset: Preset) -> bytes:
    """8-bit gray PNG of a source after a preset; its text chunks say what was done."""
    return encode_png(apply(preset, source.image), text_chunks(source, preset))


def text_chunks(source: Source, preset: Preset) -> dict[str, str]:
    """The text chunks of a PNG of a source after a preset: its recipe if it has one, else plain text.

    Raises:
        StudioError: an image that was enhanced before would have more than 20 operations.
    """
    if source.recipe is not None:
        return recipe_chunks(add_preset(source.recipe, preset))
    note = ENHANCED_NOTE if preset.operations else RAW_NOTE
    marks = mark_chunks(f"Synthetic image. {note}")
    unmarked = {"Description": note, "Software": SOFTWARE}
    return {"Source": source.origin, "Preset": to_json(preset), **(marks if source.is_synthetic else unmarked)}


def comparison_zip(source: Source, presets: Iterable[Preset]) -> bytes:
    """A ZIP of the raw image, a PNG for each preset with operations, costs.csv, presets.json and README.txt."""
    chosen = (RAW, *(preset for preset in presets if preset.operations))
    images = [(_file_name(index, preset), encode_enhanced(source, preset)) for index, preset in enumerate(chosen)]
    others = {
        "costs.csv": _costs_csv(source.image, chosen),
        "presets.json": json.dumps([dump(preset) for preset in chosen], indent=2, ensure_ascii=False),
        "README.txt": _readme(source, chosen),
    }
    return zip_files([*images, *others.items()])


def _file_name(index: int, preset: Preset) -> str:
    return f"{index:02d}_{preset.slug if preset.operations else 'raw'}.png"


def _costs_csv(raw: Image, presets: Sequence[Preset]) -> str:
    costs = [astuple(measure_cost(raw, apply(preset, raw))) for preset in presets]
    lines = ((_file_name(i, preset), preset.name, *costs[i]) for i, preset in enumerate(presets))
    return write_table(("file", "preset", *(field.name for field in fields(Cost))), lines)


def _readme(source: Source, presets: Sequence[Preset]) -> str:
    height, width = source.image.shape
    files = "\n".join(f"  {_file_name(index, preset)}  {preset.name}" for index, preset in enumerate(presets))
    return f"""Enhancement comparison

{NOTICE if source.is_synthetic else RAW_NOTE}
Source: {source.origin}
Size: {width} x {height} pixels

{ENHANCED_NOTE}

{files}
  costs.csv     the cost of each preset, compared with the raw image: share of saturated pixels (0 or 255) after and
                before, share newly saturated, change of the gray levels' entropy in bits per pixel, SSIM, shares of
                black (0) and white (255) pixels
  presets.json  the operations and parameters of every preset, in order

Made with {SOFTWARE}. Each PNG says in its text chunks what was done to it.
"""
