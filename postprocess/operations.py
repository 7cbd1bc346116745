"""The six enhancement operations: pure functions of a float32 (H, W) image in [0, 1] that return a new one.

Each is a frozen dataclass whose fields are its parameters, so a preset is data. Inputs are finite and in range
(`presets.apply` checks it once); every output is in [0, 1], and a constant image never becomes NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import cv2
import numpy as np
from pydantic import ConfigDict, with_config

from xray_generator.images import from_uint8, to_uint8
from xray_generator.types import Image, StudioError, quote

PERCENTILES = (0.5, 99.5)  # of the image: 0 and 1 on the scale of Window
MARGIN = 0.02  # Window stays in [MARGIN, 1 - MARGIN]: five 8-bit levels of room for the overshoot of a later Sharpen
FLAT = 1e-6  # a range below this counts as constant


class Scale(NamedTuple):
    """The allowed range of a parameter, both ends included, and the step of its slider."""

    low: float
    high: float
    step: float


Scales = Mapping[str, Scale]  # by parameter
exact = with_config(ConfigDict(extra="forbid", strict=True))  # how pydantic reads these classes from JSON


def _check_number(name: str, value: object, scale: Scale) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not scale.low <= value <= scale.high:  # or NaN
        raise StudioError(f"{name} must be a number from {scale.low:g} to {scale.high:g}, not {quote(value)}.")


@exact
@dataclass(frozen=True, slots=True)
class Window:
    """Stretch the gray values around `center` with an increasing sigmoid, which compresses those outside the width.

    The DICOM SIGMOID VOI function (PS3.3 C.11.2.1.3.1), y = 1 / (1 + exp(-4 (t - center) / width)), on the image's own
    scale t: its 0.5 and 99.5 percentiles are t = 0 and 1. The image's darkest and brightest values land on 0.02 and
    0.98. A constant image is returned unchanged.

    Raises:
        StudioError: center outside 0..1 or width outside 0.1..2.
    """

    center: float = 0.5
    width: float = 0.8
    kind: Literal["window"] = "window"
    SCALES: ClassVar[Scales] = {"center": Scale(0.0, 1.0, 0.01), "width": Scale(0.1, 2.0, 0.05)}

    def __post_init__(self) -> None:
        _check_number("The window center", self.center, self.SCALES["center"])
        _check_number("The window width", self.width, self.SCALES["width"])

    def __call__(self, image: Image) -> Image:
        """Return the windowed image in [0.02, 0.98]."""
        minimum, maximum = float(image.min()), float(image.max())
        if maximum - minimum < FLAT:
            return image.copy()
        low, high = (float(value) for value in np.percentile(image, PERCENTILES))
        if high - low < FLAT:
            low, high = minimum, maximum
        middle, slope = low + self.center * (high - low), 2 / (self.width * (high - low))
        curve = np.tanh((image - np.float32(middle)) * np.float32(slope))  # 2 sigmoid(4 x) - 1 = tanh(2 x)
        bottom, top = float(curve.min()), float(curve.max())
        spread = MARGIN + (curve - np.float32(bottom)) * np.float32((1 - 2 * MARGIN) / (top - bottom))
        return np.asarray(np.clip(spread, 0, 1), np.float32)


@exact
@dataclass(frozen=True, slots=True)
class Clahe:
    """Equalize contrast tile by tile, limiting noise (OpenCV `createCLAHE`, 8 bits inside: 256 levels come out).

    `clip_limit` is in multiples of a flat histogram's bin; `grid` is (columns, rows) of tiles. OpenCV's 16-bit CLAHE
    is another filter (the limit acts over 65,536 bins), so deeper images are rounded to 8 bits here.

    Raises:
        StudioError: clip_limit outside 0.1..40 (OpenCV reads 0 as no limit) or a grid side outside 1..32.
    """

    clip_limit: float = 2.0
    grid: tuple[int, int] = (8, 8)
    kind: Literal["clahe"] = "clahe"
    SCALES: ClassVar[Scales] = {"clip_limit": Scale(0.1, 40.0, 0.1), "grid": Scale(1, 32, 1)}

    def __post_init__(self) -> None:
        _check_number("The CLAHE clip limit", self.clip_limit, self.SCALES["clip_limit"])
        sides = self.grid if isinstance(self.grid, tuple) else ()
        if len(sides) != 2 or not all(type(side) is int and 1 <= side <= 32 for side in sides):
            raise StudioError(f"The CLAHE grid must be two whole numbers from 1 to 32, not {quote(self.grid)}.")

    def __call__(self, image: Image) -> Image:
        """Return the locally equalized image, on 256 levels."""
        return from_uint8(np.asarray(cv2.createCLAHE(self.clip_limit, self.grid).apply(to_uint8(image)), np.uint8))


@exact
@dataclass(frozen=True, slots=True)
class Median:
    """Replace each pixel by the median of its kernel x kernel neighborhood (OpenCV, float32, borders replicated).

    Raises:
        StudioError: kernel is not 3 or 5 (OpenCV's limit for float images; larger ones wipe out detail).
    """

    kernel: int = 3
    kind: Literal["median"] = "median"
    SCALES: ClassVar[Scales] = {"kernel": Scale(3, 5, 2)}

    def __post_init__(self) -> None:
        if type(self.kernel) is not int or self.kernel not in (3, 5):
            raise StudioError(f"The median kernel must be 3 or 5, not {quote(self.kernel)}.")

    def __call__(self, image: Image) -> Image:
        """Return the smoothed image; single-pixel noise is gone, edges stay."""
        return np.asarray(cv2.medianBlur(image, self.kernel), np.float32)


@exact
@dataclass(frozen=True, slots=True)
class Sharpen:
    """Unsharp mask: y = x + amount (x - G x), clipped to [0, 1], G a Gaussian of standard deviation `radius` pixels.

    Amount 0 changes nothing; a PIL Sharpness factor f corresponds to about amount f - 1.

    Raises:
        StudioError: amount outside 0..5 or radius outside 0.3..10 pixels.
    """

    amount: float = 0.3
    radius: float = 1.0
    kind: Literal["sharpen"] = "sharpen"
    SCALES: ClassVar[Scales] = {"amount": Scale(0.0, 5.0, 0.05), "radius": Scale(0.3, 10.0, 0.1)}

    def __post_init__(self) -> None:
        _check_number("The sharpening amount", self.amount, self.SCALES["amount"])
        _check_number("The sharpening radius", self.radius, self.SCALES["radius"])

    def __call__(self, image: Image) -> Image:
        """Return the image with its edges raised."""
        blurred = cv2.GaussianBlur(image, (0, 0), self.radius)
        sharp = cv2.addWeighted(image, 1 + self.amount, blurred, -self.amount, 0)
        return np.asarray(np.clip(sharp, 0, 1), np.float32)


@exact
@dataclass(frozen=True, slots=True)
class Equalize:
    """Blend with the globally equalized image: y = (1 - strength) x + strength equalizeHist(x).

    OpenCV's definition of equalization, 8 bits: the darkest level present becomes 0, each other one its share of the
    remaining pixels. Below strength 1 the input's own levels stay distinct (strictly increasing at any bit depth).
    A constant image is returned unchanged.

    Raises:
        StudioError: strength outside 0..1.
    """

    strength: float = 1.0
    kind: Literal["equalize"] = "equalize"
    SCALES: ClassVar[Scales] = {"strength": Scale(0.0, 1.0, 0.05)}

    def __post_init__(self) -> None:
        _check_number("The equalization strength", self.strength, self.SCALES["strength"])

    def __call__(self, image: Image) -> Image:
        """Return the blend."""
        levels = to_uint8(image)
        if levels.min() == levels.max():
            return image.copy()
        equalized = from_uint8(np.asarray(cv2.equalizeHist(levels), np.uint8))
        blend = image + np.float32(self.strength) * (equalized - image)
        return np.asarray(np.clip(blend, 0, 1), np.float32)


@exact
@dataclass(frozen=True, slots=True)
class Vignette:
    """Darken toward the corners by the gain 1 - strength r^4, r = 0 in the center and 1 in the corners.

    The fourth power leaves the lungs nearly alone (gain 1 - strength / 4 in the middle of an edge of a square image);
    the limit of 0.5 keeps every non-zero 8-bit level above zero, so no pixel is blacked out.

    Raises:
        StudioError: strength outside 0..0.5.
    """

    strength: float = 0.1
    kind: Literal["vignette"] = "vignette"
    SCALES: ClassVar[Scales] = {"strength": Scale(0.0, 0.5, 0.01)}

    def __post_init__(self) -> None:
        _check_number("The vignette strength", self.strength, self.SCALES["strength"])

    def __call__(self, image: Image) -> Image:
        """Return the image times the gain."""
        y, x = ((2 * np.arange(side, dtype=np.float32) + 1) / side - 1 for side in image.shape)  # pixel centers
        r_squared = (y[:, None] ** 2 + x[None, :] ** 2) / 2
        return np.asarray(image * (1 - np.float32(self.strength) * r_squared**2), np.float32)


Operation = Window | Clahe | Median | Sharpen | Equalize | Vignette
