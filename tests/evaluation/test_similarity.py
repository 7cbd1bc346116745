"""Similarity to the nearest real image: of copies, of real images, of noise."""

from pathlib import Path

import numpy as np
import pytest

from xray_generator.data.read import read_dataset
from xray_generator.evaluation.features import Remembering
from xray_generator.evaluation.image_sets import ImageSet, from_rows
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.records import Measurement
from xray_generator.evaluation.similarity import TRAINING, UNSEEN, measure_similarity
from xray_generator.evaluation.training_set import TrainingSet, read_training


@pytest.fixture
def training(dataset_folder: Path, radiomics_space: Remembering, tmp_path: Path) -> TrainingSet:
    return read_training(read_dataset(dataset_folder).split("train")[:60], 64, radiomics_space, tmp_path)


@pytest.fixture
def unseen(dataset_folder: Path) -> ImageSet:
    return from_rows(read_dataset(dataset_folder).split("test")[:30], 64, "real")


def by_name(images: ImageSet, unseen: ImageSet, training: TrainingSet) -> dict[tuple[str, str], Measurement]:
    found = measure_similarity(images, unseen, training, np.random.default_rng(0), "test")
    assert {m.measure for m in found} <= MEASURES.keys()
    return {(m.measure, m.condition): m for m in found}


def test_copies_are_nearer_to_the_training_set_than_unseen_images_are(unseen: ImageSet, training: TrainingSet) -> None:
    films = from_rows(training.rows[:20], 64, "generated")
    rng = np.random.default_rng(1)
    copies = ImageSet("generated", np.clip(films.images + rng.normal(0, 0.01, films.images.shape), 0, 1))
    found = by_name(ImageSet("generated", copies.images.astype(np.float32)), unseen, training)
    near, far = found["nearest_psnr", TRAINING], found["nearest_psnr", UNSEEN]
    assert near.value is not None and near.real is not None and far.value is not None
    assert near.value > 38 > near.real
    assert near.value > far.value
    assert near.settings == {"searched": 60} and far.settings == {"searched": len(unseen)}
    assert (near.n, near.real_n) == (20, 30)
    exact = by_name(films, unseen, training)
    assert exact["nearest_mse", TRAINING].value == 0 and "identical" in exact["nearest_psnr", TRAINING].reason


def test_real_images_are_as_near_as_the_yardstick_and_noise_is_like_none(
    unseen: ImageSet, training: TrainingSet
) -> None:
    real = by_name(unseen, unseen, training)["nearest_ssim", TRAINING]
    assert real.value == pytest.approx(real.real)
    noise = ImageSet("noise", np.random.default_rng(0).random((12, 64, 64), np.float32))
    ssim = by_name(noise, unseen, training)["nearest_ssim", TRAINING]
    assert ssim.value is not None and ssim.real is not None and ssim.value < ssim.real / 2
