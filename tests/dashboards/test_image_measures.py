"""The measures of one image are those of the evaluation, beside real ones of the same size alone."""

from dataclasses import replace

import numpy as np
import pytest

from tests.pages.record_samples import FULL
from xray_generator.dashboards.image_measures import SHOWN, measure_image
from xray_generator.evaluation.records import Measurement

IMAGE = np.random.default_rng(0).random((64, 64), np.float32)
MEASURED = tuple(Measurement(name, 1.0, 9, None, 0.5 + place, 218) for place, name in enumerate(SHOWN))
OF_CLASS = Measurement("contrast", 1.0, 9, None, 0.25, 12, "oda")
RECORD = replace(FULL, settings={"image_size": 64}, measurements=(*MEASURED, OF_CLASS))


def test_an_image_is_measured_beside_real_ones() -> None:
    sharpness, contrast, entropy, snr = measure_image(IMAGE, RECORD)
    assert (contrast.title, contrast.value, contrast.real, contrast.n) == ("Contrast", f"{IMAGE.std():.3g}", "1.5", 218)
    counts = np.bincount(np.rint(IMAGE * 255).astype(int).ravel()) / IMAGE.size
    assert entropy.value == f"{-sum(p * np.log2(p) for p in counts if p):.3g} bits" and entropy.real == "2.5 bits"
    assert (sharpness.real, snr.title, snr.n) == ("0.5 gray levels²", "Signal to noise", 218)


def test_real_images_are_those_of_its_class_where_the_record_has_them() -> None:
    of_class = list(measure_image(IMAGE, RECORD, "oda"))
    assert [(m.real, m.n) for m in of_class[:2]] == [("0.5 gray levels²", 218), ("0.25", 12)]
    assert [m.real for m in measure_image(IMAGE, RECORD, "normal")] == [m.real for m in measure_image(IMAGE, RECORD)]


@pytest.mark.parametrize("record", [None, FULL, replace(RECORD, settings={"image_size": 128})])
def test_without_real_images_of_this_size_that_is_said(record: object) -> None:
    found = list(measure_image(IMAGE, record))  # type: ignore[arg-type]
    assert [(m.real, m.n) for m in found] == [("not measured", 0)] * 4 and all(m.value for m in found)
