"""The tiny run of this family and its engine; see `tests.families.tiny`."""

from pathlib import Path

import pytest
import torch

from tests.families.tiny import CVAE, trained
from xray_generator.data.labeled import read_labeled
from xray_generator.data.rows import Dataset
from xray_generator.families.cvae.config import CVAEConfig
from xray_generator.families.cvae.engine import CVAEEngine, load_engine


@pytest.fixture(scope="session")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run in runs/small/ and its checkpoint in checkpoints/cvae/small/; not to be written into."""
    return trained("cvae", tmp_path_factory.getbasetemp()).output_dir


@pytest.fixture(scope="session")
def cells_folder(straight: Path) -> Path:
    """The labeled pack that it learned from."""
    return straight.parent / "data"


@pytest.fixture(scope="session")
def cells(cells_folder: Path) -> Dataset:
    """That pack's rows."""
    return read_labeled(cells_folder)


@pytest.fixture(scope="session")
def small_config() -> CVAEConfig:
    return CVAE


@pytest.fixture(scope="session")
def engine(straight: Path) -> CVAEEngine:
    """The checkpoint of that run."""
    return load_engine(straight / "checkpoints" / "cvae" / "small", "cpu")


@pytest.fixture(scope="session")
def lively(straight: Path) -> CVAEEngine:
    """The same with every weight drawn anew, those too that begin at zero: two steps move them too little to see."""
    lively = load_engine(straight / "checkpoints" / "cvae" / "small", "cpu")
    generator = torch.Generator().manual_seed(0)
    for network in lively.components().values():
        for value in network.parameters():
            torch.nn.init.normal_(value, std=0.2, generator=generator)
    return lively
