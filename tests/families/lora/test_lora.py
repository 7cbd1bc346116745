"""An adapter on its base: what it learns, what it leaves alone, and what it refuses."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.families.tiny import LORA, Run
from xray_generator.checkpoints import read_manifest, write_manifest
from xray_generator.config import config_names, parse, read_config
from xray_generator.data.rows import Row
from xray_generator.families.lora.config import LoraConfig
from xray_generator.families.lora.engine import adapted_layers, load_base, load_engine
from xray_generator.families.lora.task import LoraTask, prompt_of, without_adapters
from xray_generator.generation import generate
from xray_generator.nn.adapter import add_adapter
from xray_generator.requests import text_request
from xray_generator.training.task import step_generator
from xray_generator.types import Image, StudioError


@pytest.fixture(scope="module")
def run(run_of: Callable[[str], Run]) -> Run:
    return run_of("lora")


def image(engine: Any, scheduler: str | None = None) -> Image:
    request = text_request("Normal chest X-ray", seed=3, size=64, steps=2, scheduler=scheduler)
    return generate(engine, request).images[0]


def test_an_adapter_changes_what_its_base_draws_and_not_the_base(run: Run) -> None:
    place = run.options.checkpoint
    base, adapted = load_base("tiny", place, "cpu"), load_engine(place, "cpu")
    manifest = read_manifest(run.options.checkpoint)
    assert manifest.base == base.manifest.ref and manifest.sizes == base.manifest.sizes
    assert sum(path.stat().st_size for path in run.options.checkpoint.glob("*.safetensors")) < 100_000
    assert not np.array_equal(image(base), image(adapted))
    assert np.array_equal(image(base), image(load_base("tiny", place, "cpu")))


def test_training_lowers_the_error_and_the_base_comes_back_to_the_bit(run: Run) -> None:
    torch.manual_seed(0)
    base: Any = load_base("tiny", run.options.checkpoint, "cpu")
    before = image(base)
    config = replace(LORA, prior_weight=0.0)
    networks = base.adaptable()
    layers = adapted_layers(config, networks)
    for name, network in networks.items():
        add_adapter(network, layers[name], 4, 8.0, 0.0)
    rows = run.dataset.split("train")[:4]
    task = LoraTask(base, networks, rows, rows, config)
    assert task.validate()["error"] == task.validate()["base_error"]
    trained = [value for value in task.module.parameters() if value.requires_grad]
    assert trained and len(trained) == 2 * sum(map(len, layers.values()))
    optimizer = torch.optim.Adam(trained, 1e-2)
    batch = {"latents": task.examples.latents, "place": torch.arange(4)}
    for step in range(30):
        loss = task.module(batch, step_generator(0, step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = task.validate()
    assert found["error"] < found["base_error"] and found["num_images"] == 4
    assert not np.array_equal(image(base), before)
    with without_adapters(networks):
        assert np.array_equal(image(base), before)
    assert task.preview().shape[1:] == (1, 64, 64)


def test_other_weights_of_the_base_or_none_are_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path / "none"))
    folder = shutil.copytree(run.options.checkpoint, tmp_path / "checkpoints" / "lora" / "small")
    with pytest.raises(StudioError, match="The base tiny of the adapter is not here"):
        load_engine(folder, "cpu")
    shutil.copytree(run.output_dir / "checkpoints" / "latent_diffusion", tmp_path / "checkpoints" / "latent_diffusion")
    load_engine(folder, "cpu")
    manifest = read_manifest(folder)
    assert manifest.base is not None
    write_manifest(folder, replace(manifest, base=replace(manifest.base, sha256="0" * 64)))
    with pytest.raises(StudioError, match="trained on other weights of tiny"):
        load_engine(folder, "cpu")


def test_a_model_of_classes_cannot_be_a_base(run_of: Callable[[str], Run]) -> None:
    with pytest.raises(StudioError, match="small cannot be adapted"):
        load_base("flow_matching/small", run_of("flow_matching").output_dir / "checkpoints" / "lora" / "any", "cpu")


def test_prompts_come_from_captions_or_from_classes() -> None:
    captioned, labeled = Row(Path("a.png"), "PA film", ()), Row(Path("b.png"), "", (), label="oda_ida")
    assert prompt_of(captioned, "Cilia, {label}") == "PA film"
    assert prompt_of(labeled, "Cilia, {label}") == "Cilia, oda ida"
    for row, template in ((labeled, ""), (Row(Path("c.png"), "", ()), "Cilia, {label}")):
        with pytest.raises(StudioError, match="has no caption"):
            prompt_of(row, template)


def test_settings_that_adapt_nothing_are_refused(run: Run) -> None:
    with pytest.raises(StudioError, match="must name one layer or more"):
        replace(LORA, target_modules=())
    base: Any = load_base("tiny", run.options.checkpoint, "cpu")
    with pytest.raises(StudioError, match="no layers that end with to_x"):
        adapted_layers(replace(LORA, target_modules=("to_x",)), base.adaptable())


def test_the_shipped_settings_are_read() -> None:
    found = [parse(LoraConfig, read_config(name)) for name in config_names() if read_config(name)["family"] == "lora"]
    assert {config.name: config.conditions for config in found} == {
        "chest_xray_covid19": ("covid19",),
        "chest_xray_effusion": ("pleural_effusion",),
        "chest_xray_lora": (),
    }
    assert {config.base for config in found} == {"chest_xray_256"}
