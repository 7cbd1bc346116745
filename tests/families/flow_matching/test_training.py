"""The run: what it learns from, and what the checkpoint says of itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.families.tiny import FLOW_MATCHING, Run
from xray_generator.checkpoints import CARD, read_manifest
from xray_generator.config import parse, read_config
from xray_generator.data.rows import Dataset
from xray_generator.dicom.hounsfield import WINDOWS
from xray_generator.families.flow_matching.config import FlowMatchingConfig
from xray_generator.families.flow_matching.engine import FlowMatchingEngine
from xray_generator.families.flow_matching.model import FlowMatching
from xray_generator.families.flow_matching.task import FlowLoss, FlowMatchingTask, couple
from xray_generator.families.flow_matching.training import export
from xray_generator.images import resize_square
from xray_generator.training.class_images import ClassImages, augment
from xray_generator.training.settings import AugmentationConfig
from xray_generator.training.task import Draw, step_generator
from xray_generator.types import StudioError


def test_the_checkpoint_tells_what_it_is(run: Run) -> None:
    manifest = read_manifest(run.options.checkpoint)
    assert manifest.labels == ("benign", "malignant", "normal") and manifest.unconditional
    assert manifest.hu_window == WINDOWS["lung"]
    assert manifest.data.classes == {"benign": 3, "malignant": 3, "normal": 3, "covid19": 3}
    assert manifest.metrics.likelihood == manifest.metrics.likelihood_references == {}  # none was wanted
    card = (run.options.checkpoint / CARD).read_text()
    assert "-1350 to 150 HU" in card and "by class (benign, malignant, normal)" in card and "Not measured." in card


def test_likelihoods_of_both_splits_are_measured_and_described(
    smooth: FlowMatchingEngine, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = run.dataset.split("train")[:2] + run.dataset.split("test")[:1]
    metrics = export(replace(run.config, num_likelihoods=2), smooth.model, Dataset(rows), tmp_path / "measured").metrics
    assert {split: summary.num_images for split, summary in metrics.likelihood.items()} == {"train": 2, "test": 1}
    for summary in metrics.likelihood.values():
        assert len(summary.values) == summary.num_images and list(summary.values) == sorted(summary.values)
        assert np.isclose(np.mean(summary.values), summary.bits_per_dimension)
        assert summary.method == "fast"
    assert len(metrics.likelihood_references) == 2
    card = (tmp_path / "measured" / CARD).read_text()
    assert "bits per dimension, no class" in card and "in 16 fixed steps" in card and "adaptive" not in card
    assert "Likelihoods, test: 100%" in capsys.readouterr().err


def test_the_checkpoint_knows_the_intensities_of_its_training_images(run: Run, slices: Dataset) -> None:
    found = read_manifest(run.options.checkpoint).metrics.intensity
    images = np.stack([resize_square(row.image(), 32) for row in slices.split("train")])
    shares, edges = np.histogram(images, 64, (0, 1), density=False)
    assert found and np.allclose(found.edges, edges) and np.allclose(found.train, shares / images.size)
    assert found.n == len(images) == 12 and np.isclose(sum(found.train), 1)


def test_a_class_without_images_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="No training image is of the class 'cat'. The data hold: benign"):
        replace(run, config=replace(FLOW_MATCHING, labels=("cat",)), output_dir=tmp_path).train()


def class_images(slices: Dataset) -> ClassImages:
    return ClassImages(slices.split("train"), FLOW_MATCHING.labels, 32, FLOW_MATCHING.augmentation)


def test_images_of_an_unknown_class_are_used_without_it(slices: Dataset) -> None:
    items = class_images(slices)
    assert [int(items[Draw(i, 0)]["classes"]) for i in range(len(items))] == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert items[Draw(0, 1)]["images"].shape == (1, 32, 32)
    assert not torch.equal(items[Draw(0, 1)]["images"], items[Draw(0, 2)]["images"])


def test_only_a_class_is_dropped_and_never_the_image(slices: Dataset) -> None:
    config = replace(FLOW_MATCHING, class_dropout=1.0)
    torch.manual_seed(0)
    model = FlowMatching.build(config)
    batch = class_images(slices).batch([0, 3])
    unknown = batch | {"classes": torch.full((2,), 3)}
    losses = [float(FlowLoss(model, config)(part, step_generator(1))["loss"].detach()) for part in (batch, unknown)]
    assert losses[0] == losses[1]


def test_optimal_transport_shortens_the_ways_within_each_class() -> None:
    generator = torch.Generator().manual_seed(0)
    images, noise = (torch.randn(12, 1, 4, 4, generator=generator) for _ in range(2))
    classes = torch.tensor([0, 1] * 6)
    coupled = couple(images, noise, classes)
    for index in (0, 1):
        rows = classes == index
        before, after = (sorted(part[rows].flatten(1)[:, 0].tolist()) for part in (noise, coupled))
        assert before == after  # the same noise in another order
    assert (coupled - images).square().sum() < (noise - images).square().sum()


def test_the_loss_with_coupling_is_finite(slices: Dataset) -> None:
    config = replace(FLOW_MATCHING, coupling="optimal_transport")
    task = FlowMatchingTask(config, FlowMatching.build(config), slices.split("train"), slices.split("val"))
    batch = task.slices.batch(range(8))
    assert torch.isfinite(task.module(batch, step_generator(0))["loss"])
    assert task.preview().shape == (16, 1, 32, 32)
    assert task.validate()["num_images"] == 4


def test_a_slice_is_moved_but_never_mirrored() -> None:
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
