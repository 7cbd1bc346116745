"""Tiny datasets of the exact formats, and the sample that ships."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage

Pixels = NDArray[np.uint8]
MakePack = Callable[..., Path]
COLUMNS = "image,caption,labels,view,age,sex,age_group,split,patient_id,source,license,orig_width,orig_height"


@pytest.fixture
def sample_folder() -> Path:
    """The dataset/ folder of the repository."""
    return Path(__file__).parents[2] / "dataset"


@pytest.fixture
def pixels() -> Callable[[int], Pixels]:
    """A random but smooth 64x64 image by seed."""

    def make(seed: int) -> Pixels:
        coarse = np.random.default_rng(seed).integers(0, 255, (16, 16), dtype=np.uint8)
        return np.asarray(PILImage.fromarray(coarse).resize((64, 64), PILImage.Resampling.BICUBIC))

    return make


@pytest.fixture
def make_pack(tmp_path: Path) -> MakePack:
    """Write metadata.csv and the PNG images of a captioned pack."""

    def make(lines: Sequence[str], images: dict[str, Pixels], columns: str = COLUMNS) -> Path:
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "metadata.csv").write_text("\n".join([columns, *lines]) + "\n", encoding="utf-8")
        for name, values in images.items():
            PILImage.fromarray(values).save(tmp_path / "images" / name)
        return tmp_path

    return make
