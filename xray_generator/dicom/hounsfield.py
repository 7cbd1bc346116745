"""Hounsfield units and gray levels: a window is the part of the CT scale that an image shows, black to white."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from xray_generator.types import Image, StudioError, quote

LARGEST = sys.float_info.max


@dataclass(frozen=True, slots=True)
class Window:
    """The range of `width` HU around `level` HU.

    Raises:
        StudioError: a value is not a finite number, or the width is not above 0.
    """

    level: float
    width: float

    def __post_init__(self) -> None:
        for name, value in (("level", self.level), ("width", self.width)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
                raise StudioError(f"The {name} of a window must be a number of HU, not {quote(value)}.")
            object.__setattr__(self, name, float(value))
        if self.width <= 0:
            raise StudioError(f"The width of a window must be above 0 HU, not {self.width:g}.")

    @property
    def low(self) -> float:
        """What is shown as black, in HU."""
        return self.level - self.width / 2

    @property
    def high(self) -> float:
        """What is shown as white, in HU."""
        return self.level + self.width / 2

    def apply(self, hu: NDArray[np.float32]) -> Image:
        """HU -> [0, 1], clipped: (hu - low) / width."""
        return np.asarray(np.clip((hu.astype(np.float64) - self.low) / self.width, 0.0, 1.0), np.float32)

    def invert(self, image: Image) -> NDArray[np.float32]:
        """[0, 1] -> HU: image · width + low. What `apply` clipped comes back as the edge of the window."""
        return np.asarray(image.astype(np.float64) * self.width + self.low, np.float32)


WINDOWS: Mapping[str, Window] = MappingProxyType(
    {"lung": Window(-600, 1500), "mediastinum": Window(40, 400), "bone": Window(400, 1800)}
)


def parse_window(text: str) -> Window:
    """A window by its name in WINDOWS, or as `level,width` in HU.

    Raises:
        StudioError: neither.
    """
    if text.strip().lower() in WINDOWS:
        return WINDOWS[text.strip().lower()]
    try:
        level, width = (float(part) for part in text.replace("\u2212", "-").split(","))
    except ValueError:
        raise StudioError(
            f"A window is one of {', '.join(WINDOWS)}, or level,width in HU, not {quote(text)}."
        ) from None
    return Window(level, width)
