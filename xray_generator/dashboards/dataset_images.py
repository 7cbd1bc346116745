"""Statistics of the images of a dataset: measures of each image, the mean image and the deviation of each pixel.

Every image is first scaled to one size, as for training: sharpness at different scales cannot be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xray_generator.data.rows import Row
from xray_generator.evaluation.image_quality import STATISTICS
from xray_generator.evaluation.records import Measurement
from xray_generator.images import resize_square
from xray_generator.reference_encoder.bootstrap import Floats
from xray_generator.types import Image, StudioError

SIZE = 256  # pixels a side


@dataclass(frozen=True, slots=True, eq=False)
class ImageStatistics:
    """Measures of N images."""

    rows: tuple[Row, ...]
    values: dict[str, Floats]  # each of STATISTICS: (N,)
    mean: Image  # (SIZE, SIZE) in [0, 1]
    deviation: Image  # (SIZE, SIZE), standard deviation of each pixel over the images
    skipped: tuple[str, ...]  # unreadable images with the reason


def measure_rows(rows: Sequence[Row]) -> ImageStatistics:
    """Read and measure the images of rows; unreadable ones are listed. StudioError if none can be read."""
    kept, skipped, found = [], [], []
    total = np.zeros((SIZE, SIZE))
    squares = np.zeros((SIZE, SIZE))
    for row in rows:
        try:
            image = resize_square(row.image(), SIZE)
        except StudioError as error:
            skipped.append(str(error))
            continue
        kept.append(row)
        found.append([of(image) for of in STATISTICS.values()])
        total += image
        squares += np.square(image, dtype=np.float64)
    if not kept:
        raise StudioError(f"None of {len(rows):,} images can be read. {'; '.join(skipped[:3])}")
    mean = total / len(kept)
    deviation = np.sqrt(np.clip(squares / len(kept) - mean**2, 0, None))
    values = dict(zip(STATISTICS, np.array(found, np.float64).T, strict=True))
    return ImageStatistics(tuple(kept), values, mean.astype(np.float32), deviation.astype(np.float32), tuple(skipped))


def measure_image(image: Image) -> tuple[Measurement, ...]:
    """STATISTICS of one image (H, W), scaled as in `measure_rows`."""
    square = resize_square(image, SIZE)
    return tuple(Measurement(name, of(square), n=1) for name, of in STATISTICS.items())


def stretched(image: Image) -> Image:
    """The image scaled from its minimum (0) to its maximum (1), to show a deviation, which is small everywhere."""
    low, high = float(image.min()), float(image.max())
    return np.asarray((image - low) / max(high - low, 1e-6), np.float32)
