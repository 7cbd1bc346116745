"""The run: what it learns from, resuming, and what the checkpoint says of itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from xray_generator.checkpoints import CARD, read_manifest
from xray_generator.config import parse, read_config
from xray_generator.data.rows import Dataset
from xray_generator.families.flow_matching.config import AugmentationConfig, FlowMatchingConfig
from xray_generator.families.flow_matching.model import FlowMatching
from xray_generator.families.flow_matching.task import FlowLoss, FlowMatchingTask, Slices, augment, couple
from xray_generator.families.flow_matching.training import train_run
from xray_generator.hounsfield import Window
from xray_generator.images import resize_square
from xray_generator.training.task import Draw, step_generator
from xray_generator.types import RunOptions, StudioError


def test_a_resumed_run_ends_as_one_that_was_never_stopped(
    small_config: FlowMatchingConfig, slices: Dataset, straight: Path, tmp_path: Path
) -> None:
    training = replace(small_config.training, num_steps=2, lr_schedule="constant_with_warmup")
    half = replace(small_config, training=training, num_likelihoods=0)
    whole = replace(half, training=replace(half.training, num_steps=4))
    train_run(half, slices, RunOptions(tmp_path / "run", tmp_path / "half"))
    train_run(whole, slices, RunOptions(tmp_path / "run", tmp_path / "resumed"))
    train_run(whole, slices, RunOptions(tmp_path / "other", tmp_path / "straight"))
    resumed, at_once = (
        load_file(next((tmp_path / name / "unet").glob("*.safetensors"))) for name in ("resumed", "straight")
    )
    assert all(torch.equal(resumed[name], at_once[name]) for name in at_once)


def test_the_manifest_and_the_card_describe_the_checkpoint(straight: Path) -> None:
    folder = straight / "checkpoints" / "flow_matching" / "small"
    manifest = read_manifest(folder)
    assert manifest.labels == ("benign", "malignant", "normal") and manifest.unconditional
    assert manifest.hu_window == Window(-600.0, 1500.0)
    assert manifest.data.classes == {"benign": 3, "malignant": 3, "normal": 3, "covid19": 3}
    assert manifest.metrics.likelihood["test"].num_images == 2
    for one in manifest.metrics.likelihood.values():
        assert len(one.values) == one.num_images == 2 and one.values == tuple(sorted(one.values))
        assert np.isclose(np.mean(one.values), one.bits_per_dimension)
    assert len(manifest.metrics.likelihood_references) == 2
    card = (folder / CARD).read_text()
    assert "bits per dimension" in card and "-1350 to 150 HU" in card and "by class (benign, malignant, normal)" in card


def test_the_checkpoint_knows_the_intensities_of_its_training_images(straight: Path, slices: Dataset) -> None:
    intensity = read_manifest(straight / "checkpoints" / "flow_matching" / "small").metrics.intensity
    images = np.stack([resize_square(row.image(), 32) for row in slices.split("train")])
    counts, edges = np.histogram(images, 64, (0, 1))
    assert intensity is not None and intensity.n == len(images) == 12
    assert np.allclose(intensity.edges, edges) and np.allclose(intensity.train, counts / images.size)


def test_a_class_without_images_is_refused(small_config: FlowMatchingConfig, slices: Dataset, tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="No training image is of the class 'cat'. The data hold: benign"):
        train_run(replace(small_config, labels=("cat",)), slices, RunOptions(tmp_path / "run", tmp_path / "checkpoint"))


def test_an_unknown_class_teaches_no_class(small_config: FlowMatchingConfig, slices: Dataset) -> None:
    model = FlowMatching.build(small_config)
    items = Slices(slices.split("train"), model, small_config)
    assert [int(items[Draw(i, 0)]["classes"]) for i in range(len(items))] == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert items[Draw(0, 1)]["images"].shape == (1, 32, 32)
    assert not torch.equal(items[Draw(0, 1)]["images"], items[Draw(0, 2)]["images"])


def test_only_a_class_is_dropped_and_never_the_image(small_config: FlowMatchingConfig, slices: Dataset) -> None:
    config = replace(small_config, class_dropout=1.0)
    torch.manual_seed(0)
    model = FlowMatching.build(config)
    batch = Slices(slices.split("train"), model, config).batch([0, 3])
    unknown = batch | {"classes": torch.full((2,), 3)}
    losses = [float(FlowLoss(model, config)(part, step_generator(1))["loss"].detach()) for part in (batch, unknown)]
    assert losses[0] == losses[1]


def test_optimal_transport_shortens_the_paths_within_each_class() -> None:
    generator = torch.Generator().manual_seed(0)
    images, noise = (torch.randn(12, 1, 4, 4, generator=generator) for _ in range(2))
    classes = torch.tensor([0, 1] * 6)
    coupled = couple(images, noise, classes)
    for index in (0, 1):
        rows = classes == index
        before, after = (sorted(part[rows].flatten(1)[:, 0].tolist()) for part in (noise, coupled))
        assert before == after  # the same noise in another order
    assert (coupled - images).square().sum() < (noise - images).square().sum()


def test_the_loss_with_coupling_is_finite(small_config: FlowMatchingConfig, slices: Dataset) -> None:
    config = replace(small_config, coupling="optimal_transport")
    task = FlowMatchingTask(config, FlowMatching.build(config), slices.split("train"), slices.split("val"))
    batch = task.slices.batch(range(8))
    assert torch.isfinite(task.module(batch, step_generator(0))["loss"])
    assert task.preview().shape == (16, 1, 32, 32)
    assert task.validate()["num_images"] == 4


def test_augmentation_never_mirrors() -> None:
    image = np.zeros((64, 64), np.float32)
    image[20:44, 8:24] = 1  # on the left
    for seed in range(20):
        moved = augment(image, AugmentationConfig(), step_generator(seed))
        assert moved[:, :32].sum() > 10 * moved[:, 32:].sum()
    still = augment(image, AugmentationConfig(0.0, 0.0, 0.0), step_generator(0))
    assert np.allclose(still, image, atol=1e-4)


def test_the_shipped_configuration_is_read() -> None:
    config = parse(FlowMatchingConfig, read_config("lung_ct_128"))
    assert config.image_size == 128 and config.labels == ("normal", "benign", "malignant")
