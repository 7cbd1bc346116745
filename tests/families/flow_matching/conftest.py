"""The real network, as small as it goes, on slices of 32 pixels with three classes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from xray_generator.data.rows import Dataset, Row, Split
from xray_generator.families.flow_matching import likelihood
from xray_generator.families.flow_matching.config import FlowMatchingConfig, NetworkConfig
from xray_generator.families.flow_matching.engine import FlowMatchingEngine, load_engine
from xray_generator.families.flow_matching.training import train_run
from xray_generator.nn import rectified_flow
from xray_generator.training.settings import TrainingConfig
from xray_generator.types import RunOptions

LABELS = ("benign", "malignant", "normal")


def use_coarse_solver(patch: pytest.MonkeyPatch) -> None:
    """A tolerance of the adaptive solver at which the likelihoods of an untrained network take seconds."""
    for module in (likelihood, rectified_flow):
        patch.setattr(module, "TOLERANCE", 1e-3)


@pytest.fixture(scope="session")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Disks on black, smaller or larger by class; one image of a class that nobody draws."""
    folder, rows = tmp_path_factory.mktemp("slices"), []
    rng = np.random.default_rng(0)
    splits: tuple[Split, ...] = ("train", "train", "train", "val", "test")
    for place, label in enumerate((*LABELS, "covid19")):
        for number, split in enumerate(splits):
            y, x = np.mgrid[:40, :40] - 19.5
            disk = (np.hypot(y, x) < 6 + 4 * place) * 180 + rng.integers(0, 40, (40, 40))
            path = folder / f"{label}_{number}.png"
            PILImage.fromarray(disk.astype(np.uint8)).save(path)
            rows.append(Row(path, "", (), split=split, source="made", license="MIT", label=label, native_size=40))
    return Dataset(tuple(rows))


@pytest.fixture(scope="session")
def small_config() -> FlowMatchingConfig:
    """Four steps of four slices."""
    training = TrainingConfig(
        num_steps=4, batch_size=4, learning_rate=1e-3, warmup_steps=1, checkpoint_every=2, log_every=1
    )
    return FlowMatchingConfig(
        "small",
        training,
        image_size=32,
        labels=LABELS,
        num_inference_steps=3,
        num_likelihoods=2,
        network=NetworkConfig(4, (16, 32), 1, (1,), 0.0),
    )


@pytest.fixture(scope="session")
def straight(small_config: FlowMatchingConfig, slices: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run in run/ and its checkpoint in checkpoints/flow_matching/small/; not to be written into."""
    folder = tmp_path_factory.mktemp("straight")
    options = RunOptions(folder / "run", folder / "checkpoints" / "flow_matching" / "small")
    with pytest.MonkeyPatch.context() as patch:
        use_coarse_solver(patch)
        train_run(small_config, slices, options)
    return folder


@pytest.fixture(scope="session")
def engine(straight: Path) -> FlowMatchingEngine:
    """The checkpoint of that run."""
    return load_engine(straight / "checkpoints" / "flow_matching" / "small", "cpu")
