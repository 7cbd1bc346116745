"""Stages: each draws its own side, from the one before; a single stage is a cascade without the others."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.families.tiny import CASCADE, TRAINING, Run, make_slices, trained
from xray_generator.checkpoints import read_manifest
from xray_generator.config import config_names, parse, read_config
from xray_generator.data.rows import Dataset
from xray_generator.devices import seeded_generators
from xray_generator.families.cascade.base_task import BaseTask
from xray_generator.families.cascade.config import BaseConfig, CascadeConfig, EnlargingConfig
from xray_generator.families.cascade.engine import CascadeEngine, load_engine
from xray_generator.families.cascade.model import Base
from xray_generator.generation import generate
from xray_generator.images import to_tensor
from xray_generator.nn.network_configs import DegradationConfig
from xray_generator.nn.swin import SwinBottleneck
from xray_generator.requests import make_request, read_condition
from xray_generator.training.task import step_generator
from xray_generator.types import Image, StudioError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained("cascade", tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def engine(run: Run) -> CascadeEngine:
    return load_engine(run.options.checkpoint, "cpu")


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_slices(tmp_path_factory.mktemp("slices") / "data")


def watch(engine: CascadeEngine, size: int, label: str | None = "normal") -> tuple[Image, list[Image]]:
    """The image of a side, and the preview of every step."""
    previews: list[Image] = []
    request = make_request(read_condition(engine.manifest, label=label), seed=1, size=size)
    (image,) = generate(engine, request, lambda _, total, show: previews.append(show()) if total else None).images
    return image, previews


def test_every_stage_is_shown_and_a_smaller_image_is_what_the_larger_one_was_made_from(engine: CascadeEngine) -> None:
    assert engine.manifest.sizes == (32, 16)
    (large, previews), (small, first) = watch(engine, 32), watch(engine, 16)
    assert [len(preview) for preview in previews] == [16] * 3 + [32] * 2 and len(first) == 3
    assert np.array_equal(previews[2], first[2]) and np.abs(first[2] - small).max() < 0.01
    assert large.shape == (32, 32) and np.array_equal(large, previews[-1])


def test_a_class_changes_the_image_and_guidance_needs_one(engine: CascadeEngine) -> None:
    images = [watch(engine, 16, label)[0] for label in ("normal", "malignant", None)]
    assert not np.array_equal(images[0], images[1]) and not np.array_equal(images[0], images[2])
    free = make_request(read_condition(engine.manifest), seed=1, size=16, guidance=4.0)
    assert generate(engine, free).notes == ("Guidance needs a class; without one it was not used.",)


def test_eta_draws_noise_anew_by_ddim_alone_and_from_the_seed(engine: CascadeEngine) -> None:
    condition = read_condition(engine.manifest, label="normal")
    plain, half, again = (
        generate(engine, make_request(condition, seed=1, size=16, scheduler="ddim", eta=eta)).images[0]
        for eta in (0.0, 0.5, 0.5)
    )
    assert np.array_equal(half, again) and not np.array_equal(plain, half)
    with pytest.raises(StudioError, match=r"Only the scheduler ddim takes an eta, not dpm\+\+"):
        generate(engine, make_request(condition, seed=1, size=16, eta=0.5))


def test_noise_that_a_stage_adds_is_told_to_its_network(engine: CascadeEngine) -> None:
    """Of the same image and the same generator: without noise the network is given another level."""
    stage = engine.config.sr1
    assert stage is not None and stage.noise > 0
    seen: list[Any] = []
    hook = engine.model.flows["sr1"].network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[2]))
    watch(engine, 32)
    hook.remove()
    assert len(seen) == 2 and all(levels[0].tolist() == pytest.approx([1, 1, 0]) for levels in seen)


def test_its_stages_also_enlarge_images_that_are_given(engine: CascadeEngine) -> None:
    ramp = to_tensor(np.linspace(0.2, 0.8, 16 * 16, dtype=np.float32).reshape(1, 16, 16))
    made = engine.upscale(ramp, 32, 1, seeded_generators(0, 1))
    assert made.shape == (1, 1, 32, 32) and engine.num_steps(16, 32) == 2
    assert torch.equal(made, engine.upscale(ramp, 32, 1, seeded_generators(0, 1)))
    for side, size, words in (
        (16, 64, "enlarges to 32 pixels, not from 16 to 64"),
        (8, 32, "SR1 of small enlarges"),
        (32, 32, "not from 32 to 32"),
    ):
        with pytest.raises(StudioError, match=words):
            engine.num_steps(side, size)


def test_swin_layers_are_in_both_bottlenecks_or_in_none(engine: CascadeEngine) -> None:
    for network in engine.components().values():
        assert sum(isinstance(part, SwinBottleneck) for part in network.modules()) == 1
    assert CASCADE.sr1 is not None
    plain = replace(
        CASCADE,
        base=replace(CASCADE.base, window=0),
        sr1=replace(CASCADE.sr1, network=replace(CASCADE.sr1.network, window=0)),
    )
    network = Base.build(plain).network
    assert not any(isinstance(part, SwinBottleneck) for part in network.modules())


def test_a_single_stage_draws_its_side_alone(slices: Dataset, tmp_path: Path) -> None:
    config = CascadeConfig("single", TRAINING, labels=CASCADE.labels, base=replace(CASCADE.base, image_size=32))
    single = Run(config, slices, tmp_path).train()
    manifest = read_manifest(single.options.checkpoint)
    assert manifest.sizes == (32,) and manifest.steps == {"base": 2} and not manifest.metrics.enlargement
    assert len(watch(load_engine(single.options.checkpoint, "cpu"), 32)[1]) == 3


def test_stages_are_measured_on_slices_that_they_did_not_learn_from(run: Run) -> None:
    found = read_manifest(run.options.checkpoint).metrics.enlargement
    assert {name: quality.num_images for name, quality in found.items()} == {"sr1, val": 4, "sr1, test": 4}


def test_the_base_loss_falls_and_is_measured_on_unseen_slices(slices: Dataset) -> None:
    torch.manual_seed(0)
    base = Base.build(CASCADE)
    task = BaseTask(base, slices.split("train"), slices.split("val"))
    batch, optimizer = task.images.batch(range(12)), torch.optim.Adam(base.network.parameters(), 3e-3)
    before = task.validate()
    for step in range(60):
        loss = task.module(batch, step_generator(0, step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = task.validate()
    assert after["num_images"] == 4 and after["mse"] < 0.7 * before["mse"]
    assert task.preview().shape == (16, 1, 16, 16)
    assert BaseTask(base, slices.split("train"), ()).validate() == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sr1": None}, "sr1 and sr1_training go together"),
        ({"sr2": EnlargingConfig(64, 64), "sr1": None, "sr1_training": None}, "sr2 needs sr1"),
        ({"sr1": EnlargingConfig(64, 32)}, "sr1.image_size must be 1.25 to 2.5 times 16"),
        ({"labels": ("a", "a")}, "names a class twice"),
        ({"labels": ()}, "needs classes"),
    ],
)
def test_stages_that_do_not_fit_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(StudioError, match=words):
        replace(CASCADE, **change)


def test_settings_that_no_network_can_have_are_refused() -> None:
    with pytest.raises(StudioError, match=r"base\.image_size must be a multiple of 16 and of 8"):
        BaseConfig(72)
    with pytest.raises(StudioError, match="crop_size must be image_size"):
        EnlargingConfig(32, 64)
    with pytest.raises(StudioError, match=r"noise must be degradation\.max_noise \(0\.01\) or less"):
        EnlargingConfig(64, 32, noise=0.02, degradation=DegradationConfig(max_noise=0.01))


def test_data_without_a_class_or_too_small_are_refused_before_training(slices: Dataset, tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="No training image is of the class 'cat'"):
        Run(replace(CASCADE, labels=("cat",)), slices, tmp_path).train()
    assert CASCADE.sr1 is not None
    large = replace(CASCADE, sr1=replace(CASCADE.sr1, image_size=48), base=replace(CASCADE.base, image_size=32))
    with pytest.raises(StudioError, match="No training image reaches 48x48 pixels, which sr1 learns to draw"):
        Run(large, slices, tmp_path).train()
    assert not any(tmp_path.rglob("*.safetensors"))


def test_the_shipped_settings_are_read() -> None:
    for name in config_names():
        data = read_config(name)
        if data["family"] == "cascade":
            assert parse(CascadeConfig, data).sizes[0] == 256
