"""The real network, as small as it goes, on films of 64 pixels."""

from pathlib import Path

import pytest

from xray_generator.data.rows import Dataset
from xray_generator.families.super_resolution.config import NetworkConfig, SuperResolutionConfig
from xray_generator.families.super_resolution.engine import SuperResolutionEngine, load_engine
from xray_generator.families.super_resolution.training import train_run
from xray_generator.training.settings import TrainingConfig


@pytest.fixture(scope="session")
def small_config() -> SuperResolutionConfig:
    """Four steps of four crops of 32 pixels."""
    training = TrainingConfig(
        num_steps=4, batch_size=4, learning_rate=1e-3, warmup_steps=1, checkpoint_every=4, log_every=1
    )
    return SuperResolutionConfig(
        "small",
        training,
        film_size=64,
        crop_size=32,
        sizes=(64, 96),
        num_inference_steps=2,
        network=NetworkConfig((8, 16), (1, 1), 16),
    )


@pytest.fixture(scope="session")
def straight(
    small_config: SuperResolutionConfig, tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished run in run/ and its checkpoint in checkpoints/super_resolution/small/; not to be written into."""
    folder = tmp_path_factory.mktemp("straight")
    train_run(small_config, tiny_dataset, folder / "run", folder / "checkpoints" / "super_resolution" / "small")
    return folder


@pytest.fixture(scope="session")
def upscaler(straight: Path) -> SuperResolutionEngine:
    """The checkpoint of that run."""
    return load_engine(straight / "checkpoints" / "super_resolution" / "small", "cpu")
