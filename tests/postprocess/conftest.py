"""Radiographs for the enhancement tests: real ones from dataset/ where it is filled, always one synthetic chest."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from xray_generator.images import read_image, resize_square
from xray_generator.types import Image

DATASET = Path(__file__).parents[2] / "dataset"
SUFFIXES = {".png", ".jpg", ".jpeg"}
NUM_REAL = 8


@pytest.fixture(scope="session")
def chest() -> Image:
    """A smooth synthetic chest, (256, 256) in [0, 1]: bright body, two dark lungs, ribs, a black border, film noise."""
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    body = 0.75 - 0.25 * x**2 - 0.1 * y
    for center in (-0.42, 0.42):
        body -= 0.4 * np.exp(-(((x - center) / 0.28) ** 4) - (y / 0.65) ** 4)
    body += 0.04 * np.sin(18 * y + 4 * x**2)
    body *= np.abs(x) < 0.94
    noise = np.random.default_rng(0).normal(0, 0.01, body.shape)
    return np.asarray(np.clip(cv2.GaussianBlur(body, (0, 0), 1.0) + noise, 0, 1), np.float32)


@pytest.fixture(scope="session")
def radiographs(chest: Image) -> tuple[Image, ...]:
    """The synthetic chest and up to 8 real images of dataset/, spread evenly over its files, (256, 256)."""
    files = sorted(path for path in DATASET.rglob("*") if path.suffix.lower() in SUFFIXES)
    chosen = files[:: max(1, len(files) // NUM_REAL)][:NUM_REAL]
    return (chest, *(resize_square(read_image(path), 256) for path in chosen))
