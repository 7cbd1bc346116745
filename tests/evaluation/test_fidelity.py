"""Fidelity of made-up generators whose faults are known, under a real network that can see one pattern."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tests.evaluation.patterns import draw, films, rows
from xray_generator.data.rows import Row
from xray_generator.evaluation.fidelity import confusion_table, guidance_curve, measure_fidelity
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.records import Measurement
from xray_generator.reference_encoder.manifest import Calibration, EncoderShape
from xray_generator.reference_encoder.model import ReferenceEncoder, build_network

N = 120
LABELS = ("mass", "no_finding", "nodule", "bacterial_pneumonia")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def encoder() -> ReferenceEncoder:
    """An untrained network whose last layer was fitted to tell films with the pattern from films without it."""
    torch.manual_seed(0)
    network = build_network(EncoderShape(32, 8, (8, 16), (1, 1)), LABELS)
    encoder = ReferenceEncoder(network, 32, dict.fromkeys(LABELS, Calibration()), "tiny@0")
    shows = np.arange(400) % 2 == 0
    head = LogisticRegression(C=1e3, max_iter=2_000).fit(encoder(draw(shows, np.random.default_rng(9))), shows)
    layer = network.classifier[1]
    with torch.no_grad():
        layer.weight[:2] = torch.tensor(np.vstack([head.coef_, -head.coef_]), dtype=torch.float32)
        layer.bias[:2] = torch.tensor([head.intercept_[0], -head.intercept_[0]])
    return encoder


@pytest.fixture
def shows(rng: np.random.Generator) -> np.ndarray:
    return rng.random(N) < 0.5


@pytest.fixture
def real(rng: np.random.Generator) -> ImageSet:
    return films("real", rng.random(N) < 0.5, rng)


def get(found: list[Measurement], measure: str, condition: str = "mass") -> Measurement:
    (one,) = [m for m in found if m.measure == measure and m.condition == condition]
    return one


def test_a_generator_that_draws_what_is_asked_is_as_good_as_real(
    encoder: ReferenceEncoder, shows: np.ndarray, real: ImageSet, rng: np.random.Generator
) -> None:
    found = measure_fidelity(encoder, films("generated", shows, rng), real, rng)
    share, area = get(found, "prompt_accuracy_share"), get(found, "prompt_auroc")
    assert share.value is not None and 0.9 < share.value < 1.1
    assert share.interval is not None and share.interval[0] <= share.value <= share.interval[1]
    assert area.value is not None and area.value > 0.95
    assert area.real is not None and area.real > 0.95
    assert (area.n, area.real_n, area.split, area.extractor) == (N, N, "test", "tiny@0")
    assert {m.measure for m in found} <= set(MEASURES)


def test_shuffled_prompts_give_chance(
    encoder: ReferenceEncoder, shows: np.ndarray, real: ImageSet, rng: np.random.Generator
) -> None:
    generated = films("generated", shows, rng, asked=rows(rng.permutation(shows)))
    found = measure_fidelity(encoder, generated, real, rng)
    for measure in ("prompt_auroc", "prompt_accuracy"):
        one = get(found, measure)
        assert one.value == pytest.approx(0.5, abs=0.12)
        assert one.interval is not None and one.interval[0] < 0.5 < one.interval[1]
        assert one.real is not None and one.real > 0.9


def test_half_of_the_prompts_ignored_lies_between(
    encoder: ReferenceEncoder, shows: np.ndarray, real: ImageSet, rng: np.random.Generator
) -> None:
    heeded = np.where(rng.random(N) < 0.5, shows, rng.random(N) < 0.5)
    found = measure_fidelity(encoder, films("generated", heeded, rng, asked=rows(shows)), real, rng)
    share = get(found, "prompt_accuracy_share").value
    assert share is not None and 0.35 < share < 0.7


def test_the_right_hospital_without_the_finding_earns_nothing(
    encoder: ReferenceEncoder, real: ImageSet, rng: np.random.Generator
) -> None:
    hospital = np.arange(N) < N // 2
    shows = rng.random(N) < np.where(hospital, 0.8, 0.2)
    sources = ["nih_chestxray14" if first else "kermany_pediatric" for first in hospital]
    asked = [
        Row(r.path, r.prompt, r.findings, ("mass",) if "mass" not in r.findings else (), source=r.source)
        for r in rows(shows, sources)
    ]
    found = measure_fidelity(encoder, films("generated", hospital, rng, asked=asked), real, rng)
    assert get(found, "prompt_auroc").value == pytest.approx(0.5, abs=0.12)


def test_several_sources_are_also_measured_one_by_one(encoder: ReferenceEncoder, rng: np.random.Generator) -> None:
    shows = rng.random(N) < 0.5
    sources = ["nih_chestxray14", "kermany_pediatric"] * (N // 2)
    asked = rows(shows, sources, "pneumonia")
    found = measure_fidelity(
        encoder, films("generated", shows, rng, asked=asked), films("real", shows, rng, asked=asked), rng
    )
    conditions = {m.condition for m in found if m.measure == "prompt_auroc"}
    assert conditions == {"no_finding", "no_finding, nih_chestxray14", "no_finding, kermany_pediatric"}


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("nodule", "0 test images have it"),
        ("bacterial_pneumonia", "0 test images have it"),
        ("covid19", "cannot teach a classifier"),
    ],
)
def test_labels_that_are_unknown_in_the_real_images_are_not_measured(
    encoder: ReferenceEncoder, real: ImageSet, rng: np.random.Generator, label: str, words: str
) -> None:
    shows = np.arange(N) % 2 == 0
    generated = films("generated", shows, rng, asked=rows(shows, finding=label))
    one = get(measure_fidelity(encoder, generated, real, rng), "prompt_accuracy", label)
    assert one.value is None
    assert words in one.reason


def test_a_label_that_the_classifier_fails_on_in_real_images_is_not_measured(
    encoder: ReferenceEncoder, shows: np.ndarray, rng: np.random.Generator
) -> None:
    blind = films("real", shows, rng, asked=rows(rng.permutation(shows)))
    one = get(measure_fidelity(encoder, films("generated", shows, rng), blind, rng), "prompt_accuracy")
    assert one.value is None
    assert "not measurable" in one.reason
    few = films("generated", [True] * 3 + [False] * 3, rng)
    one = get(measure_fidelity(encoder, few, films("real", shows, rng), rng), "prompt_accuracy")
    assert one.value is None
    assert "3 prompts" in one.reason


def test_images_without_prompts_say_so(encoder: ReferenceEncoder, real: ImageSet, rng: np.random.Generator) -> None:
    (one,) = measure_fidelity(encoder, ImageSet("folder", real.images), real, rng)
    assert one.value is None
    assert "prompts" in one.reason


def test_confusion_counts_every_image_of_both_sets(
    encoder: ReferenceEncoder, shows: np.ndarray, real: ImageSet, rng: np.random.Generator
) -> None:
    table = confusion_table(encoder, films("generated", shows, rng), real)
    (ours,) = [line for line in table if line["label"] == "mass" and line["images"] == "generated"]
    assert ours["true_positive"] + ours["false_negative"] == shows.sum()
    assert ours["true_positive"] > 0.9 * shows.sum()
    assert len(table) == 2 * len(LABELS)


def test_guidance_curve_has_a_gap_where_nothing_was_measured() -> None:
    def share(scale: float, condition: str) -> Measurement:
        return Measurement("prompt_accuracy_share", scale / 10, condition=condition, settings={"guidance_scale": scale})

    curve = guidance_curve([share(3, "mass"), share(1, "mass"), share(3, "AP")])
    assert curve.x == (1, 3)
    assert curve.lines == {"AP": (None, 0.3), "mass": (0.1, 0.3)}


def test_generated_images_of_any_size_are_classified(encoder: ReferenceEncoder, rng: np.random.Generator) -> None:
    large = ImageSet("large", np.kron(draw([True], rng), np.ones((4, 4), np.float32)), (Row(Path("x"), "", ()),))
    assert encoder.probabilities(large.images).shape == (1, len(LABELS))
