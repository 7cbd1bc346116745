from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xray_generator.data.read import read_dataset
from xray_generator.evaluation.features import Remembering
from xray_generator.evaluation.image_sets import ImageSet, from_rows
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.memorization import audit, authentic, calibrate, closest, nearest
from xray_generator.evaluation.pixel_match import Match, best_matches, thumbnails
from xray_generator.evaluation.planted_copies import KINDS, self_test
from xray_generator.evaluation.training_set import TrainingSet, read_training
from xray_generator.types import StudioError


class Coordinates:
    """A space of two numbers: the first two pixels."""

    name, dimension = "coordinates", 2

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return images[:, 0, :2].astype(np.float64)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def training(dataset_folder: Path, radiomics_space: Remembering, cache: Path) -> TrainingSet:
    return read_training(read_dataset(dataset_folder).split("train"), 64, radiomics_space, cache)


def first(training: TrainingSet, count: int) -> TrainingSet:
    """A smaller training set: every pair of images is compared, so twenty take a tenth of the time of 140."""
    return TrainingSet(training.rows[:count], training.thumbnails[:count], training.features[:count])


@pytest.fixture(scope="module")
def held_out(real: ImageSet) -> ImageSet:
    return real.take([i for i, row in enumerate(real.rows) if row.split != "train"])


def at(points: list[tuple[float, float]]) -> TrainingSet:
    """A training set of features alone, already of unit spread."""
    return TrainingSet((), np.zeros((len(points), 64, 64), np.uint8), np.array(points, float))


def test_planted_copies_are_flagged_and_real_images_are_not(
    held_out: ImageSet, training: TrainingSet, radiomics_space: Remembering
) -> None:
    found = self_test(held_out, first(training, 24), radiomics_space, np.random.default_rng(0))
    shares = {m.condition: m.value for m in found if m.measure == "copies_found"}
    assert shares.keys() == {"", *KINDS}
    assert min(shares.values()) >= 0.95
    alarms = next(m for m in found if m.measure == "false_alarms")
    assert alarms.value <= 0.05 and alarms.n == len(held_out)


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_points_at_its_original(kind: str, real: ImageSet) -> None:
    films, rng = real.images[:40], np.random.default_rng(1)
    copies = np.stack([KINDS[kind](image, rng) for image in films[:10]])
    match = best_matches(thumbnails(copies), thumbnails(films))
    assert (match.place == np.arange(10)).mean() >= 0.9
    assert match.flipped.all() if kind == "flipped" else not match.flipped.any()


def test_turned_copies_of_what_has_no_upright_are_found(
    held_out: ImageSet, training: TrainingSet, radiomics_space: Remembering
) -> None:
    films = first(training, 12)
    cells = replace(films, rows=tuple(replace(row, label="disc") for row in films.rows))
    assert (films.turns, cells.turns) == (1, 4)
    found = self_test(held_out.take(range(24)), cells, radiomics_space, np.random.default_rng(0))
    shares = {m.condition: m.value for m in found if m.measure == "copies_found"}
    assert shares.keys() == {"", *KINDS, "turned"} and shares["turned"] >= 0.95
    original = from_rows(films.rows[:5], 64, "").images
    for turn in range(4):
        near = nearest(np.ascontiguousarray(np.rot90(original, turn, axes=(1, 2))), cells, radiomics_space)
        assert near.match.place.tolist() == near.place.tolist() == [0, 1, 2, 3, 4]
        assert not near.match.flipped.any() and near.match.similarity.min() > 0.99
    upright = nearest(np.ascontiguousarray(np.rot90(original, axes=(1, 2))), films, radiomics_space)
    assert upright.match.similarity.max() < 0.9


def test_a_constant_image_matches_nothing(real: ImageSet) -> None:
    flat = np.full((1, 64, 64), 0.5, np.float32)
    assert best_matches(thumbnails(flat), thumbnails(real.images[:5])).similarity[0] == 0
    assert best_matches(thumbnails(real.images[:1]), thumbnails(flat)).similarity[0] == 0


def test_a_set_that_holds_copies_is_told_from_one_that_holds_none(
    held_out: ImageSet, training: TrainingSet, radiomics_space: Remembering
) -> None:
    copies = from_rows(training.rows[:10], 64, "generated")
    mixed = ImageSet("generated", np.concatenate([copies.images, held_out.images[:10]]))
    result = audit(mixed, held_out, training, radiomics_space, np.random.default_rng(0), "val+test")
    assert {m.measure for m in result.measurements} <= MEASURES.keys()
    assert result.flags[:10].all() and result.flags[10:].sum() <= 1
    assert set(result.order[:10].tolist()) == set(range(10))
    rate, authenticity, ratio = result.measurements
    assert rate.value == result.flags.mean() and rate.real <= 0.05 and rate.interval[0] < rate.value < rate.interval[1]
    assert authenticity.value <= 0.5 and ratio.value < ratio.real
    first = closest(result, mixed, training)[0]
    row = training.rows[int(first["image"])]
    assert first["training_by_pixels"] == first["training_by_features"] == f"{row.path.parent.name}/{row.path.name}"
    assert first["flagged"] and first["similarity"] > 0.99


def test_the_threshold_is_that_of_conformal_prediction() -> None:
    count = 99
    near = nearest(np.zeros((count, 64, 64), np.float32), at([(0, 0), (1, 1), (2, 0)]), Coordinates())
    similarity = np.linspace(0, 0.98, count)
    near = replace(near, match=Match(similarity, near.match.place, near.match.flipped), distance=np.ones(count))
    threshold = calibrate(near)
    assert threshold.is_copy(near).sum() == 2, "2 of 99 lie above the 3rd highest: a new one does by a chance of 3 %"


def test_too_few_real_images_are_refused(held_out: ImageSet, training: TrainingSet) -> None:
    features = TrainingSet(training.rows, training.thumbnails, np.random.default_rng(0).normal(size=(140, 2)))
    with pytest.raises(StudioError, match="19 unseen real images or more, not 18"):
        audit(held_out, held_out.take(range(18)), features, Coordinates(), np.random.default_rng(0))


def test_authenticity_is_that_of_the_paper() -> None:
    known = at([(-1.5, 0), (-0.5, 0), (0.5, 0), (1.5, 0)])
    images = np.zeros((2, 64, 64), np.float32)
    images[:, 0, :2] = (1.6, 0.0), (3.5, 0.0)  # nearer to the last point than its fellow, and farther
    near = nearest(images, known, Coordinates())
    assert near.place.tolist() == [3, 3]
    assert authentic(near, known).tolist() == [0, 1]


def test_training_images_are_read_once_and_the_unreadable_left_out(
    tmp_path: Path, dataset_folder: Path, radiomics_space: Remembering
) -> None:
    rows = read_dataset(dataset_folder).split("train")[:3]
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"no image")
    rows = (rows[0], replace(rows[1], path=damaged), rows[2])
    first = read_training(rows, 64, radiomics_space, tmp_path / "cache")
    files = list((tmp_path / "cache").iterdir())
    again = read_training(rows, 64, radiomics_space, tmp_path / "cache")
    assert first.rows == again.rows == (rows[0], rows[2])
    assert np.array_equal(first.features, again.features) and np.array_equal(first.thumbnails, again.thumbnails)
    assert list((tmp_path / "cache").iterdir()) == files and len(files) == 1
    other = replace(radiomics_space.extractor, mean=radiomics_space.extractor.mean + 1)
    read_training(rows, 64, other, tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2, "another scale is another space, whatever its name"
