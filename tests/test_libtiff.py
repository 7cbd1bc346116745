"""A damaged TIFF is refused in words, and nothing is printed."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from xray_generator.images import read_image
from xray_generator.types import StudioError


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "jpeg"])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_the_library_prints_nothing(compression: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    buffer, rng = io.BytesIO(), random.Random(0)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    PILImage.fromarray(noise).save(buffer, "TIFF", compression=compression)
    path, num_refused = tmp_path / "damaged.tif", 0
    for _ in range(40):
        data = bytearray(buffer.getvalue())
        for place in rng.choices(range(16, len(data)), k=3):
            data[place] = rng.randrange(256)
        path.write_bytes(data)
        try:
            read_image(path)
        except StudioError:
            num_refused += 1
    assert num_refused
    assert capfd.readouterr().err == ""
