"""The tiny run of this family and its engine; see `tests.families.tiny`."""

from pathlib import Path

import pytest

from tests.families.tiny import SUPER_RESOLUTION, trained
from xray_generator.families.super_resolution.config import SuperResolutionConfig
from xray_generator.families.super_resolution.engine import SuperResolutionEngine, load_engine


@pytest.fixture(scope="session")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run in runs/small/ and checkpoints/super_resolution/small/; not to be written into."""
    return trained("super_resolution", tmp_path_factory.getbasetemp()).output_dir


@pytest.fixture(scope="session")
def small_config() -> SuperResolutionConfig:
    return SUPER_RESOLUTION


@pytest.fixture(scope="session")
def upscaler(straight: Path) -> SuperResolutionEngine:
    """The checkpoint of that run."""
    return load_engine(straight / "checkpoints" / "super_resolution" / "small", "cpu")
