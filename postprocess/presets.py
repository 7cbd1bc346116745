"""Named presets, each an ordered tuple of operations: the built-in ones, and those that users share as JSON files.

The built-in presets saturate few pixels: the median comes before contrast amplifies the noise; equalization is a blend;
the window follows the image's own percentiles and comes after CLAHE, so that it leaves room for the sharpening; the
vignette spares the lungs. On the 76 normal radiographs of the val and test split at 256 px, at most 0.87 % of the
pixels of an image became saturated (Sharp Detail); fixed windows, as in an earlier version, saturated up to 60 %. The
limit is 1 % (tests/postprocess/test_presets.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from postprocess.operations import Clahe, Equalize, Median, Operation, Sharpen, Vignette, Window, exact
from xray_generator.types import MAX_SHOWN, Image, StudioError, normalize_text, quote

MAX_NAME_CHARACTERS = 60
MAX_OPERATIONS = 20
MAX_FILE_BYTES = 64_000
ALL = "all"  # the command line's word for every preset


@exact
@dataclass(frozen=True, slots=True)
class Preset:
    """A name and the operations in the order they run; an absent operation is skipped.

    Raises:
        StudioError: the name is empty, longer than 60 characters or "all", or there are more than 20 operations.
    """

    name: str
    operations: tuple[Annotated[Operation, Field(discriminator="kind")], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", normalize_text(self.name))
        if not 0 < len(self.name) <= MAX_NAME_CHARACTERS or self.name.casefold() == ALL:
            raise StudioError(f'A preset\'s name must have 1 to {MAX_NAME_CHARACTERS} characters and not be "{ALL}".')
        if len(self.operations) > MAX_OPERATIONS:
            raise StudioError(f"A preset takes at most {MAX_OPERATIONS} operations, not {len(self.operations)}.")

    @property
    def slug(self) -> str:
        """The name for files: a-z, 0-9 and single hyphens; a hash where nothing of the name can be kept."""
        plain = unicodedata.normalize("NFKD", self.name).encode("ascii", "ignore").decode().lower()
        slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
        return slug or "preset-" + hashlib.sha256(self.name.encode()).hexdigest()[:8]


PRESETS = (
    Preset("None"),
    Preset(
        "Balanced",
        (Median(3), Equalize(0.10), Clahe(2.0, (8, 8)), Window(0.55, 1.00), Sharpen(0.3, 0.8), Vignette(0.10)),
    ),
    Preset(
        "High Contrast",
        (Median(3), Equalize(0.20), Clahe(3.0, (8, 8)), Window(0.55, 0.65), Sharpen(0.5, 0.8), Vignette(0.10)),
    ),
    Preset(
        "Sharp Detail",
        (Median(3), Clahe(2.0, (6, 6)), Window(0.55, 0.90), Sharpen(0.8, 0.8), Vignette(0.05)),
    ),
    Preset(
        "Radiographic Film",
        (Median(3), Equalize(0.10), Clahe(1.5, (7, 7)), Window(0.70, 0.75), Sharpen(0.4, 0.8), Vignette(0.30)),
    ),
)
BUILT_IN_SLUGS = frozenset(preset.slug for preset in PRESETS)

_FORMAT = TypeAdapter(Preset)


def get_preset(name: str, custom: Sequence[Preset] = ()) -> Preset:
    """Return the built-in or custom preset of this name, in any case.

    Raises:
        StudioError: there is none; the text lists the names.
    """
    known = (*PRESETS, *custom)
    for preset in known:
        if preset.name.casefold() == normalize_text(name).casefold():
            return preset
    raise StudioError(f"There is no preset {quote(name)}. Choose from: {', '.join(preset.name for preset in known)}.")


def apply(preset: Preset, image: Image) -> Image:
    """Run a preset's operations in order on an (H, W) image in [0, 1]; returns a new float32 image in [0, 1].

    Raises:
        StudioError: the image is not a non-empty float32 (H, W) array of finite values in [0, 1].
    """
    if image.ndim != 2 or image.size == 0 or image.dtype != np.float32:
        raise StudioError(f"The image must be a float32 (height, width) array, not {image.dtype} {image.shape}.")
    if not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1):
        raise StudioError("The image holds values outside 0 to 1, or NaN or infinity.")
    enhanced = image.copy()
    for operation in preset.operations:
        enhanced = operation(enhanced)
    return enhanced


def to_json(preset: Preset) -> str:
    """Write a preset as JSON: its name and its operations, each with its `kind` and parameters."""
    return _FORMAT.dump_json(preset, indent=2).decode()


def from_json(text: str | bytes) -> Preset:
    """Read a preset from JSON, in bytes also as UTF-16 or with a byte order mark; missing parameters take defaults.

    Raises:
        StudioError: not JSON, an unknown key or operation, or a parameter outside its range; the text says where.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode(json.detect_encoding(text))
        return _FORMAT.validate_json(text.removeprefix("\ufeff"))
    except UnicodeDecodeError:
        raise StudioError("This is not a preset. It is no text in UTF-8 or UTF-16.") from None
    except ValidationError as error:
        faults = (
            f"{normalize_text('.'.join(map(str, fault['loc'])))[:MAX_SHOWN] or 'JSON'}: "
            f"{normalize_text(fault['msg'].removeprefix('Value error, '))}"
            for fault in error.errors()
        )
        raise StudioError(f"This is not a preset. {'; '.join(faults)}") from None


def from_data(data: Mapping[str, Any]) -> Preset:
    """A preset from plain data, as recipes hold it; errors as of `from_json`."""
    return from_json(json.dumps(data))


def read_preset(path: Path) -> Preset:
    """Read one preset file of at most 64 kB.

    Raises:
        StudioError: the file cannot be read, is too large, does not hold a preset or takes a built-in's name; the text
            names the file.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise StudioError(f"A preset file has at most {MAX_FILE_BYTES // 1000} kB.")
        preset = from_json(path.read_bytes())
        _check_not_built_in(preset)
        return preset
    except (OSError, StudioError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StudioError(f"{path.name}: {reason}") from error


def save_preset(preset: Preset, folder: Path) -> Path:
    """Write `<folder>/<slug>.json` whole or not at all, replacing an older version of the same preset.

    Raises:
        StudioError: the name belongs to a built-in preset, another preset's name gives the same file name, or the file
            cannot be written.
    """
    _check_not_built_in(preset)
    path = folder / f"{preset.slug}.json"
    if path.exists() and (other := read_preset(path).name).casefold() != preset.name.casefold():
        raise StudioError(f"The name {preset.name!r} is too close to the saved preset {other!r}; choose another.")
    staged = folder / f".{path.name}.{os.getpid()}-{threading.get_ident()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staged.write_text(to_json(preset), encoding="utf-8")
        return staged.replace(path)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise StudioError(f"The preset cannot be saved: {error.strerror}.") from error


def load_presets(folder: Path) -> tuple[Preset, ...]:
    """Read every `*.json` of a folder, sorted by file name; no folder means no presets.

    Raises:
        StudioError: as for `read_preset`, or two presets share a name; the text names the file.
    """
    presets: dict[str, Preset] = {}
    for path in sorted(folder.glob("*.json")):
        preset = read_preset(path)
        if presets.setdefault(preset.slug, preset) is not preset:
            raise StudioError(f"{path.name}: there is already a preset named {presets[preset.slug].name!r}.")
    return tuple(presets.values())


def delete_preset(preset: Preset, folder: Path) -> None:
    """Remove a saved preset's file from a folder; one that is gone already is no error."""
    for path in sorted(folder.glob("*.json")):
        if read_preset(path).slug == preset.slug:
            path.unlink(missing_ok=True)


def _check_not_built_in(preset: Preset) -> None:
    if preset.slug in BUILT_IN_SLUGS:
        raise StudioError(f"{preset.name!r} is the name of a built-in preset; choose another.")
