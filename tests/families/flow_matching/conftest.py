"""The tiny run of this family and its engine; see `tests.families.tiny`."""

import pytest
import torch

from tests.families.tiny import Run, trained
from xray_generator.data.rows import Dataset
from xray_generator.families.flow_matching import likelihood
from xray_generator.families.flow_matching.engine import FlowMatchingEngine, load_engine
from xray_generator.nn import rectified_flow


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained("flow_matching", tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def slices(run: Run) -> Dataset:
    return run.dataset


@pytest.fixture(scope="session")
def engine(run: Run) -> FlowMatchingEngine:
    return load_engine(run.options.checkpoint, "cpu")


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """An adaptive solver that is quick and less exact."""
    for module in (likelihood, rectified_flow):
        monkeypatch.setattr(module, "TOLERANCE", 0.01)


@pytest.fixture(scope="session")
def smooth(run: Run) -> FlowMatchingEngine:
    """The same with a tenth of its output: the adaptive solver needs a fifth of the evaluations."""
    smooth = load_engine(run.options.checkpoint, "cpu")
    with torch.no_grad():
        smooth.model.network.conv_out.weight *= 0.1
    return smooth
