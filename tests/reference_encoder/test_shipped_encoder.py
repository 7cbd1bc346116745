"""The reference encoder that ships: small, carded, a classifier of unseen films, and a space in the right order."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from xray_generator.checkpoints import read_manifest_of
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Row
from xray_generator.evaluation.distribution import kernel_distance
from xray_generator.evaluation.features import Remembering
from xray_generator.evaluation.image_sets import ImageSet, from_rows
from xray_generator.evaluation.planted_copies import self_test
from xray_generator.evaluation.training_set import read_training
from xray_generator.reference_encoder.card import write_encoder_card
from xray_generator.reference_encoder.labels import strata, targets
from xray_generator.reference_encoder.manifest import EncoderManifest
from xray_generator.reference_encoder.metrics import auroc
from xray_generator.reference_encoder.model import ReferenceEncoder, load_reference_encoder

FOLDER = Path(__file__).parents[2] / "outputs" / "encoders" / "chest_xray_128"
MAX_BYTES = 12 * 2**20


@pytest.fixture(scope="module")
def encoder() -> ReferenceEncoder:
    return load_reference_encoder(FOLDER, "cpu")


@pytest.fixture(scope="module")
def space(encoder: ReferenceEncoder) -> Remembering:
    return Remembering(encoder)


@pytest.fixture(scope="module")
def rows(dataset_folder: Path) -> tuple[Row, ...]:
    """The films of the sample that no training saw; template reports have no labels of their own."""
    return tuple(row for row in read_dataset(dataset_folder).rows if row.split != "train")


@pytest.fixture(scope="module")
def unseen(rows: tuple[Row, ...]) -> ImageSet:
    return from_rows(rows, 256, "real")


def test_it_is_small_and_its_card_is_that_of_its_manifest(tmp_path: Path) -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < MAX_BYTES
    write_encoder_card(tmp_path, read_manifest_of(FOLDER, EncoderManifest))
    assert (tmp_path / "README.md").read_text() == (FOLDER / "README.md").read_text()


def test_it_tells_views_and_sexes_of_unseen_patients(encoder: ReferenceEncoder, unseen: ImageSet) -> None:
    scores, truth = encoder.probabilities(unseen.images), targets(unseen.rows, encoder.labels)
    for label in ("AP", "M"):
        place = encoder.labels.index(label)
        assert auroc(scores[:, place], truth[:, place], strata(unseen.rows)) > 0.9, label


def blurred(images: np.ndarray, dose: float) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(image, (0, 0), dose) for image in images])


def noisy(images: np.ndarray, dose: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 0.05 * dose, images.shape)
    return np.clip(images + noise, 0, 1).astype(np.float32)


@pytest.mark.parametrize("harm", [blurred, noisy])
def test_the_worse_the_images_the_farther_from_real(
    harm: Callable[[np.ndarray, float], np.ndarray], space: Remembering, unseen: ImageSet
) -> None:
    real = space(unseen.images)
    distances = [kernel_distance(space(harm(unseen.images, dose)), real) for dose in (2.0, 4.0, 8.0)]
    floor = kernel_distance(real[::2], real[1::2])
    assert floor < distances[0] < distances[1] < distances[2]


def test_it_finds_real_films_nearer_to_real_than_blurred_and_these_nearer_than_noise(
    space: Remembering, unseen: ImageSet
) -> None:
    first, second = unseen.images[::2], unseen.images[1::2]
    noise = np.random.default_rng(0).random(first.shape, np.float32)
    sets = (first, blurred(first, 3.0), noise)
    real, blur, nothing = (kernel_distance(space(images), space(second)) for images in sets)
    assert real < blur < nothing


def test_planted_copies_are_found_in_its_space(
    space: Remembering, unseen: ImageSet, dataset_folder: Path, tmp_path: Path
) -> None:
    films = read_dataset(dataset_folder).split("train")[:24]
    training = read_training(films, 256, space, tmp_path)
    found = self_test(unseen, training, space, np.random.default_rng(0), "val+test")
    assert next(m.value for m in found if m.measure == "copies_found" and not m.condition) >= 0.95
    alarms = next(m for m in found if m.measure == "false_alarms")
    assert alarms.value is not None and alarms.interval is not None and alarms.interval[0] <= 0.05
