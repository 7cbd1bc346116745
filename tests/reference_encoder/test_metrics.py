"""Numbers of a classifier, against an independent implementation and cases that a person can count."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from xray_generator.reference_encoder.metrics import (
    auroc,
    balanced_accuracy,
    best_threshold,
    confusion,
    sources_with_both,
)

ONE = np.array(["a"] * 60)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_one_source_gives_the_textbook_numbers(rng: np.random.Generator) -> None:
    truth = rng.integers(0, 2, 60).astype(float)
    scores = np.round(truth + rng.normal(size=60), 1)  # with ties
    assert auroc(scores, truth, ONE) == pytest.approx(roc_auc_score(truth, scores))
    expected = balanced_accuracy_score(truth, scores >= 0.4)
    assert balanced_accuracy(scores, truth, ONE, 0.4) == pytest.approx(expected)


def test_images_of_unknown_label_do_not_count(rng: np.random.Generator) -> None:
    truth = rng.integers(0, 2, 60).astype(float)
    scores = rng.normal(size=60)
    hidden = np.where(np.arange(60) < 20, np.nan, truth)
    assert auroc(scores, hidden, ONE) == pytest.approx(roc_auc_score(truth[20:], scores[20:]))


def test_a_score_that_knows_the_hospital_alone_is_chance() -> None:
    sources = np.repeat(["a", "b"], 100)
    truth = np.concatenate([np.arange(100) < 80, np.arange(100) < 10]).astype(float)
    scores = (sources == "a").astype(float)
    assert roc_auc_score(truth, scores) > 0.8
    assert auroc(scores, truth, sources) == 0.5
    assert balanced_accuracy(scores, truth, sources, 0.5) == 0.5


def test_sources_weigh_by_their_pairs_over_their_number() -> None:
    sources = np.array(["a"] * 4 + ["b"] * 2)
    truth = np.array([1, 1, 0, 0, 1, 0.0])
    scores = np.array([2, 2, 1, 1, 0, 1.0])  # right in a, wrong in b
    assert auroc(scores, truth, sources) == pytest.approx(1 * 1 / (1 + 0.5))


def test_no_source_with_both_kinds_has_no_number() -> None:
    sources, truth = np.array(["a", "a", "b"]), np.array([1, 1, 0.0])
    assert np.isnan(auroc(np.arange(3.0), truth, sources))
    assert best_threshold(np.arange(3.0), truth, sources) == 0.5
    assert sources_with_both(truth, sources) == ()


def test_threshold_parts_two_groups() -> None:
    truth = (np.arange(60) >= 40).astype(float)
    assert balanced_accuracy(np.arange(60.0), truth, ONE, best_threshold(np.arange(60.0), truth, ONE)) == 1


def test_confusion_counts_each_labeled_image_once() -> None:
    truth, scores = np.array([1, 1, 0, 0, np.nan]), np.array([0.9, 0.1, 0.8, 0.2, 0.9])
    cells = confusion(scores, truth, 0.5)
    assert cells == {"true_positive": 1, "false_negative": 1, "false_positive": 1, "true_negative": 1}
