"""The smallest run of each family: its settings, its data, and one training per session, shared by all tests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from xray_generator import registry
from xray_generator.data.labeled import read_labeled
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Dataset, Row, Split
from xray_generator.families.cascade.config import BaseConfig, CascadeConfig, EnlargingConfig
from xray_generator.families.cvae.config import TINY, CVAEConfig, PriorConfig
from xray_generator.families.flow_matching.config import FlowMatchingConfig
from xray_generator.families.lora.config import LoraConfig
from xray_generator.families.super_resolution.config import SuperResolutionConfig
from xray_generator.nn.network_configs import ClassUNetConfig, EnlargerConfig
from xray_generator.training.settings import TrainingConfig
from xray_generator.types import RunOptions

TRAINING = TrainingConfig(
    num_steps=2, batch_size=4, learning_rate=1e-3, warmup_steps=1, checkpoint_every=2, log_every=1
)
LABELS = ("benign", "malignant", "normal")
SIDES = {"disc": (64, 64), "ring": (64, 44), "stripes": (90, 64)}  # height and width: two classes are padded

FLOW_MATCHING = FlowMatchingConfig(
    "small",
    TRAINING,
    image_size=32,
    labels=LABELS,
    num_inference_steps=3,
    num_likelihoods=0,  # slow, and measured in tests of their own
    network=ClassUNetConfig(4, (16, 32), 1, (1,), 0.0),
)
CVAE = CVAEConfig(
    "small",
    64,
    TRAINING,
    TRAINING,
    TRAINING,
    latent_channels=4,
    embedding_size=8,
    crop_size=32,
    symmetries="turns",
    latent_variants=2,
    network=TINY,
    prior=PriorConfig(guidance_scale=2.0, num_inference_steps=3),
)
LORA = LoraConfig(
    "small", TRAINING, base="tiny", rank=2, alpha=4.0, adapts_text_encoder=True, prior_weight=0.5, num_prior_images=2
)
CASCADE = CascadeConfig(
    "small",
    TRAINING,
    TRAINING,
    labels=LABELS,
    base=BaseConfig(
        16, ClassUNetConfig(2, (16, 32), 1, (1,), 0.0), window=2, num_inference_steps=3, guidance_scale=1.5
    ),
    sr1=EnlargingConfig(
        32, 32, num_inference_steps=2, network=EnlargerConfig((8, 16), (1, 1), 16, window=2), noise=0.02
    ),
)
SUPER_RESOLUTION = SuperResolutionConfig(
    "small",
    TRAINING,
    image_size=64,
    crop_size=32,
    sizes=(64, 96),
    num_inference_steps=2,
    network=EnlargerConfig((8, 16), (1, 1), 16),
)


@dataclass(frozen=True)
class Run:
    """A finished run in `output_dir`/runs and its checkpoint in `output_dir`/checkpoints; not to be written into."""

    config: Any
    dataset: Dataset
    output_dir: Path

    @property
    def options(self) -> RunOptions:
        name = Path(self.config.family) / self.config.name
        return RunOptions(self.output_dir / "runs" / name.name, self.output_dir / "checkpoints" / name)

    def train(self) -> Run:
        """Train what is left."""
        family = self.config.family
        registry.resolve(family, registry.get_family(family).train)(self.config, self.dataset, self.options)
        return self


@cache
def trained(family: str, root: Path) -> Run:
    """The run of a family, trained at the first call of a session; `root` is the session's temporary folder."""
    folder = root / f"tiny_{family}"
    configs = (FLOW_MATCHING, CVAE, CASCADE, SUPER_RESOLUTION)
    config = next(config for config in configs if config.family == family)
    makers = {"flow_matching": make_slices, "cascade": make_slices, "cvae": make_cells}
    make = makers.get(family, lambda _: sample_rows())
    return Run(config, make(folder / "data"), folder / "outputs").train()


def sample_rows() -> Dataset:
    """12 training and 4 validation rows of the sample that ships."""
    dataset = read_dataset(Path(__file__).parents[2] / "dataset")
    return Dataset(dataset.split("train")[:12] + dataset.split("val")[:4])


def make_slices(folder: Path) -> Dataset:
    """Disks on black, smaller or larger by class; one image of a class that nobody draws."""
    folder.mkdir(parents=True)
    rng, rows = np.random.default_rng(0), []
    splits: tuple[Split, ...] = ("train", "train", "train", "val", "test")
    for place, label in enumerate((*LABELS, "covid19")):
        for number, split in enumerate(splits):
            y, x = np.mgrid[:40, :40] - 19.5
            disk = (np.hypot(y, x) < 6 + 4 * place) * 180 + rng.integers(0, 40, (40, 40))
            path = folder / f"{label}_{number}.png"
            cv2.imwrite(str(path), disk.astype(np.uint8))
            rows.append(Row(path, "", (), split=split, source="made", license="MIT", label=label, native_size=40))
    return Dataset(tuple(rows))


def make_cells(folder: Path) -> Dataset:
    """A labeled pack: eight images a class to train on, two to validate with, one to test with."""
    (folder / "images").mkdir(parents=True)
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
    return read_labeled(folder)
