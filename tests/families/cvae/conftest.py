"""The real networks, as small as they go, on drawings of 64 pixels in three classes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from xray_generator.data.labeled import read_labeled
from xray_generator.data.rows import Dataset
from xray_generator.families.cvae.config import TINY, CVAEConfig, PriorConfig
from xray_generator.families.cvae.engine import CVAEEngine, load_engine
from xray_generator.families.cvae.training import train_run
from xray_generator.training.settings import TrainingConfig

SIDES = {"disc": (64, 64), "ring": (64, 44), "stripes": (90, 64)}  # height and width: two classes are padded


@pytest.fixture(scope="session")
def cells_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labeled pack: eight images a class to train on, two to validate with, one to test with."""
    folder = tmp_path_factory.mktemp("cells")
    (folder / "images").mkdir()
    lines = ["image,label,split,source,license"]
    for label, (height, width) in SIDES.items():
        for i in range(11):
            image = np.full((height, width), 220 - 3 * i, np.uint8)
            center, radius = (width // 2 + i - 5, height // 2 - i + 5), 12 + i % 4
            if label == "stripes":
                image[:, i % 4 :: 8] = 60
            else:
                cv2.circle(image, center, radius, 40 + 5 * i, 3 if label == "ring" else -1)
            name = f"images/{label}_{i}.png"
            cv2.imwrite(str(folder / name), image)
            split = "train" if i < 8 else "val" if i < 10 else "test"
            lines.append(f"{name},{label},{split},drawn here,CC0")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def cells(cells_folder: Path) -> Dataset:
    """That pack's rows."""
    return read_labeled(cells_folder)


@pytest.fixture(scope="session")
def small_config() -> CVAEConfig:
    """Four steps of four images a stage."""
    training = TrainingConfig(
        num_steps=4, batch_size=4, learning_rate=1e-3, warmup_steps=1, checkpoint_every=4, log_every=1
    )
    return CVAEConfig(
        "small",
        64,
        training,
        training,
        training,
        latent_channels=4,
        embedding_size=8,
        crop_size=32,
        symmetries="turns",
        latent_variants=2,
        network=TINY,
        prior=PriorConfig(guidance_scale=2.0, num_inference_steps=3),
    )


@pytest.fixture(scope="session")
def straight(small_config: CVAEConfig, cells: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run in run/ and its checkpoint in checkpoints/cvae/small/; not to be written into."""
    folder = tmp_path_factory.mktemp("straight")
    train_run(small_config, cells, folder / "run", folder / "checkpoints" / "cvae" / "small")
    return folder


@pytest.fixture(scope="session")
def engine(straight: Path) -> CVAEEngine:
    """The checkpoint of that run."""
    return load_engine(straight / "checkpoints" / "cvae" / "small", "cpu")


@pytest.fixture(scope="session")
def lively(straight: Path) -> CVAEEngine:
    """The same with every weight drawn anew, those too that begin at zero: four steps move them too little to see."""
    found = load_engine(straight / "checkpoints" / "cvae" / "small", "cpu")
    generator = torch.Generator().manual_seed(0)
    for network in found.components().values():
        for value in network.parameters():
            torch.nn.init.normal_(value, std=0.2, generator=generator)
    return found
