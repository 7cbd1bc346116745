"""The real films of the sample, and the features of them, read once."""

from pathlib import Path

import pytest

from xray_generator.data.read import read_dataset
from xray_generator.evaluation.features import Radiomics, Remembering
from xray_generator.evaluation.image_sets import ImageSet, from_rows


@pytest.fixture(scope="session")
def real(dataset_folder: Path) -> ImageSet:
    """All 200 films at 64 pixels."""
    return from_rows(read_dataset(dataset_folder).rows, 64, "real")


@pytest.fixture(scope="session")
def radiomics_space(real: ImageSet) -> Remembering:
    """Radiomics in units of these films."""
    return Remembering(Radiomics.of(real.images))
