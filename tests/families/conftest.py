"""The families of the contract: those that ship, and one that is added in `added/`."""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.families import tiny
from xray_generator.data.rows import Dataset
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig


@pytest.fixture(scope="session")
def run_of(
    tmp_path_factory: pytest.TempPathFactory, tiny_config: LatentDiffusionConfig, tiny_dataset: Dataset
) -> Callable[[str], tiny.Run]:
    """Give the finished tiny run of a family; each is trained once."""
    root = tmp_path_factory.getbasetemp()

    @cache
    def find(family: str) -> tiny.Run:
        if family == "latent_diffusion":
            return tiny.Run(tiny_config, tiny_dataset, root / "tiny_latent_diffusion").train()
        if family == "lora":
            base = find("latent_diffusion").options.checkpoint
            output_dir = root / "tiny_lora" / "outputs"
            shutil.copytree(base, output_dir / "checkpoints" / "latent_diffusion" / base.name)
            return tiny.Run(tiny.LORA, tiny_dataset, output_dir).train()
        if family == "toy":
            from xray_generator.families.toy.config import ToyConfig

            return tiny.Run(ToyConfig("small", tiny.TRAINING), tiny_dataset, root / "tiny_toy").train()
        return tiny.trained(family, Path(root))

    return find
