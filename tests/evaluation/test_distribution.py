from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.linalg import sqrtm

from xray_generator.data.rows import Row
from xray_generator.evaluation.distribution import (
    compare,
    coverage,
    density,
    fid_and_kid,
    frechet_distance,
    inception_score,
    inception_scores,
    kernel_distance,
    precision,
    recall,
)
from xray_generator.evaluation.features import Remembering
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.measures import MEASURES
from xray_generator.types import StudioError

NUM = 100


@pytest.fixture(scope="module")
def halves(real: ImageSet) -> tuple[ImageSet, ImageSet]:
    order = np.random.default_rng(0).permutation(len(real))
    return real.take(order[:NUM]), real.take(order[NUM : 2 * NUM])


def with_moments(mean: np.ndarray, covariance: np.ndarray, num: int, rng: np.random.Generator) -> np.ndarray:
    """Points whose sample mean and covariance are exactly these."""
    z = rng.normal(size=(num, len(mean)))
    z -= z.mean(axis=0)
    z = z @ np.linalg.inv(np.linalg.cholesky(np.cov(z, rowvar=False))).T
    return z @ np.linalg.cholesky(covariance).T + mean


def test_gaussians_have_their_closed_form_frechet_distance() -> None:
    rng = np.random.default_rng(0)
    eye, mean = np.eye(5), np.array([1.0, -2.0, 0.0, 0.5, 3.0])
    x, y = with_moments(np.zeros(5), eye, 50, rng), with_moments(mean, 4 * eye, 70, rng)
    assert frechet_distance(x, y) == pytest.approx(mean @ mean + 5 * (2 - 1) ** 2)

    a, b = rng.normal(size=(2, 5, 8))
    sigma_x, sigma_y = a @ a.T, b @ b.T  # they do not commute
    x, y = with_moments(mean, sigma_x, 50, rng), with_moments(-mean, sigma_y, 50, rng)
    expected = 4 * mean @ mean + np.trace(sigma_x + sigma_y - 2 * sqrtm(sigma_x @ sigma_y).real)
    assert frechet_distance(x, y) == pytest.approx(expected) == frechet_distance(y, x)


def test_features_that_repeat_each_other_do_not_break_the_frechet_distance() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    x = np.hstack([x, x, np.ones((60, 1))])  # of rank 3
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(x, x + 1) == pytest.approx(7)


def test_too_few_images_are_refused() -> None:
    x = np.random.default_rng(0).normal(size=(91, 46))
    with pytest.raises(StudioError, match="46 features needs 92 images or more on each side, not 91"):
        frechet_distance(x, np.vstack([x, x]))
    for between in (kernel_distance, precision, recall, density, coverage):
        with pytest.raises(StudioError, match="20 images or more"):
            between(x[:19], x)


def test_the_kernel_distance_is_the_u_statistic_and_0_on_average() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(25, 3)) + 0.5

    def mean_k(a: np.ndarray, b: np.ndarray, same: bool) -> float:
        return np.mean(
            [(p @ q / 3 + 1) ** 3 for i, p in enumerate(a) for j, q in enumerate(b) if not (same and i == j)]
        )

    assert kernel_distance(x, y) == pytest.approx(mean_k(x, x, True) + mean_k(y, y, True) - 2 * mean_k(x, y, False))
    values = [kernel_distance(*rng.normal(size=(2, 20, 3))) for _ in range(400)]
    assert abs(np.mean(values)) < 4 * np.std(values) / 20


def test_shares_of_a_line_of_points() -> None:
    real, drawn = np.arange(20.0)[:, None], np.full((20, 1), 5.5)
    assert precision(real, drawn).mean() == 1
    assert recall(real, drawn).mean() == 0  # the drawn ones are all the same: their balls have no size
    assert density(real, drawn).mean() == pytest.approx(6 / 5)  # the balls of radius 3 around 3 to 8
    assert coverage(real, drawn).mean() == pytest.approx(6 / 20)
    assert precision(real, drawn + 100).mean() == density(real, drawn + 100).mean() == 0


def test_a_set_has_no_distance_to_itself(halves: tuple[ImageSet, ImageSet], radiomics_space: Remembering) -> None:
    x, y = (radiomics_space(half.images) for half in halves)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6) and frechet_distance(x, y) > 1
    assert kernel_distance(x, x) <= 0  # unbiased: it expects other images of the same kind
    for share in (precision, recall, coverage):
        assert share(x, x).min() == 1


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in images])


def noisy(images: np.ndarray, deviation: float) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, deviation, images.shape)
    return np.clip(images + noise, 0, 1).astype(np.float32)


def dropped(images: np.ndarray, share: float) -> np.ndarray:
    """The brighter images are never drawn, the others more often."""
    darkest = np.argsort(images.mean(axis=(1, 2)))[: int(share * len(images))]
    return images[np.resize(darkest, len(images))]


@pytest.mark.parametrize(
    ("harm", "doses"), [(blurred, (0.5, 1, 2)), (noisy, (0.003, 0.01, 0.03)), (dropped, (0.6, 0.3, 0.1))]
)
def test_distances_grow_with_harm(harm, doses, halves: tuple[ImageSet, ImageSet], radiomics_space: Remembering) -> None:
    x, fresh = radiomics_space(halves[0].images), halves[1].images
    harmed = [radiomics_space(images) for images in (fresh, *(harm(fresh, dose) for dose in doses))]
    for distance in (frechet_distance, kernel_distance):
        values = [distance(x, y) for y in harmed]
        assert all(a < b for a, b in pairwise(values)), values
    covered = [coverage(x, y).mean() for y in harmed]
    assert all(a >= b for a, b in pairwise(covered)) and covered[-1] < covered[0] / 2, covered  # it saturates


def test_copies_of_few_images_are_precise_but_recall_little(
    halves: tuple[ImageSet, ImageSet], radiomics_space: Remembering
) -> None:
    x, y = (radiomics_space(images) for images in (halves[0].images, dropped(halves[1].images, 0.1)))
    assert precision(x, y).mean() > 0.7 and recall(x, y).mean() < 0.1


def test_a_comparison_has_equal_sides_yardsticks_and_intervals(
    real: ImageSet, halves: tuple[ImageSet, ImageSet], radiomics_space: Remembering
) -> None:
    drawn = ImageSet("generated", blurred(halves[0].images, 1))
    found = {m.measure: m for m in compare(drawn, real, radiomics_space, np.random.default_rng(0), "x", "test", 30)}
    assert found.keys() <= MEASURES.keys()
    assert {(m.n, m.real_n, m.condition, m.split, m.extractor) for m in found.values()} == {
        (98, 98, "x", "test", "radiomics 1")  # half of the patients
    }
    for m in found.values():
        assert m.interval[0] <= m.value <= m.interval[1]
    frechet, ratio = found["frechet_distance"], found["frechet_ratio"]
    assert ratio.value == pytest.approx(frechet.value / frechet.real) and ratio.value > 2
    assert abs(found["kernel_distance"].real) < found["kernel_distance"].value / 10
    assert found["coverage"].value < found["coverage"].real


def test_patients_with_many_films_do_not_make_real_look_far_from_real() -> None:
    rng = np.random.default_rng(0)
    films = [Row(Path(f"{i}.png"), "", (), patient_id=str(i // 6)) for i in range(600)]
    means = rng.normal(size=(100, 8)).repeat(6, axis=0)
    images = ImageSet("real", np.arange(600, dtype=np.float32)[:, None, None], tuple(films))
    found = {m.measure: m for m in compare(images, images, Lookup(means + rng.normal(0, 0.1, means.shape)), rng)}
    assert abs(found["kernel_distance"].real) < 0.4 and found["kernel_distance"].n == 50


@dataclass(frozen=True)
class Lookup:
    """A feature space that knows the place of each image."""

    table: np.ndarray
    name: str = "lookup"
    dimension: int = 8

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self.table[images[:, 0, 0].astype(int)]


def test_real_images_against_real_ones_have_a_ratio_near_1(real: ImageSet, radiomics_space: Remembering) -> None:
    order = np.random.default_rng(3).permutation(len(real))
    half = real.take(order[:NUM])
    again = compare(half, real, radiomics_space, np.random.default_rng(0), num_resamples=10)
    assert again[1].value < 1.2  # they are among the real ones


def test_a_comparison_of_few_images_says_why_there_is_no_number(real: ImageSet, radiomics_space: Remembering) -> None:
    found = compare(real.take(range(30)), real, radiomics_space, np.random.default_rng(0))
    by_name = {m.measure: m for m in found}
    assert "needs 92 images" in by_name["frechet_distance"].reason == by_name["frechet_ratio"].reason
    assert by_name["coverage"].value is not None
    few = compare(real.take(range(3)), real, radiomics_space, np.random.default_rng(0))
    assert all(m.value is None and m.reason for m in few)


def test_an_inception_score_counts_the_classes() -> None:
    assert inception_score(np.eye(4)[np.arange(40) % 4]) == pytest.approx(4)
    assert inception_score(np.full((40, 4), 0.25)) == pytest.approx(1)

    class Halves:
        name = "left or right"

        def probabilities(self, images: np.ndarray) -> np.ndarray:
            left = images[:, :, :8].mean(axis=(1, 2))
            return np.stack([left, 1 - left], axis=1)

    images = np.zeros((40, 16, 16), np.float32)
    images[::2, :, :8] = 1
    varied, same = ImageSet("varied", images), ImageSet("same", images[::2])
    found = inception_scores(same, varied, Halves(), np.random.default_rng(0))
    assert found.value == pytest.approx(1) and found.n == 20 and 1.9 < found.real <= 2
    assert "20 images" in inception_scores(same.take([0]), varied, Halves(), np.random.default_rng(0)).reason


def test_fid_and_kid_are_those_of_all_images_at_any_number(real: ImageSet, radiomics_space: Remembering) -> None:
    """40 images of 46 features: below what the ratio asks for; both against the papers' formulas."""
    some, others = real.take(range(40)), real.take(range(40, 90))
    fid, kid = fid_and_kid(some, others, radiomics_space, np.random.default_rng(0))
    x, y = radiomics_space(some.images), radiomics_space(others.images)
    a, b = (np.cov(side, rowvar=False) for side in (x, y))
    root = np.sqrt(np.clip(np.linalg.eigvals(a @ b).real, 0, None)).sum()
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(a) + np.trace(b) - 2 * root
    assert fid.value == pytest.approx(expected, rel=1e-4) and (fid.n, fid.real_n) == (40, 50)
    assert kid.settings["subset_size"] == 40 and kid.settings["standard_deviation"] > 0
    assert kid.value == pytest.approx(kernel_distance(x, y), abs=3 * kid.settings["standard_deviation"])
    few = fid_and_kid(some.take(range(5)), others, radiomics_space, np.random.default_rng(0))
    assert all(m.value is None and "20 images" in m.reason for m in few)
