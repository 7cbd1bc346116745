"""The measures of one image beside the means of real images in its checkpoint's record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xray_generator.dashboards.board import Column, headline
from xray_generator.evaluation.image_quality import STATISTICS
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.records import Measurement, Record
from xray_generator.evaluation.summary import NOT_MEASURED, value_text
from xray_generator.images import to_uint8
from xray_generator.types import Image

SHOWN = ("sharpness", "contrast", "entropy", "snr")


@dataclass(frozen=True, slots=True)
class MeasuredImage:
    """One measure of an image."""

    title: str
    value: str  # with its unit
    real: str  # the mean of real images, or that there is none
    n: int  # real images


def measure_image(image: Image, record: Record | None, label: str = "") -> Iterator[MeasuredImage]:
    """Each of `SHOWN` of an image; of real images those of its class where the record has them, else all.

    Measures depend on the size: a record of other sizes than the image's gives no real values. They are taken at the 8
    bits of the image's file.
    """
    image = np.asarray(to_uint8(image) / 255, np.float32)
    is_same_size = record is not None and record.settings.get("image_size") == image.shape[0]
    known = headline(record) if record is not None and is_same_size else {}
    for name in SHOWN:
        own = Measurement(name, STATISTICS[name](image), 1)
        found = (known.get(Column(name, condition=condition)) for condition in dict.fromkeys((label, "")))
        of_real = next((m for m in found if m is not None and m.real is not None), None)
        real, n = (NOT_MEASURED, 0) if of_real is None else (value_text(of_real, of_real.real), of_real.real_n)
        yield MeasuredImage(MEASURES[name].title, value_text(own), real, n)
