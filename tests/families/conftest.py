"""The families of the contract: those that ship, and one that is added in `added/`."""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.families import tiny
from tests.families.tiny_sd import make_tiny_sd
from xray_generator.checkpoints import read_manifest
from xray_generator.config import parse
from xray_generator.data.rows import Dataset
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig
from xray_generator.families.stable_diffusion.config import StableDiffusionConfig
from xray_generator.registry import import_model


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
        if family == "stable_diffusion":
            output_dir = root / "tiny_stable_diffusion"
            place = import_model(str(make_tiny_sd(output_dir / "source")), output_dir / "checkpoints", "small")
            return tiny.Run(parse(StableDiffusionConfig, read_manifest(place).config), Dataset(()), output_dir)
        if family == "toy":
            from xray_generator.families.toy.config import ToyConfig

            return tiny.Run(ToyConfig("small", tiny.TRAINING), tiny_dataset, root / "tiny_toy").train()
        return tiny.trained(family, Path(root))

    return find
