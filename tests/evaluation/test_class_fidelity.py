"""Class fidelity under a real network whose last layer was fitted to textures, of generators whose faults are known."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tests.evaluation.textures import CLASSES, every_class, textures
from xray_generator.evaluation.class_fidelity import class_confusion, measure_class_accuracy
from xray_generator.evaluation.fidelity import measure_fidelity
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.records import Measurement
from xray_generator.reference_encoder.manifest import Calibration, EncoderShape
from xray_generator.reference_encoder.metrics import class_quality
from xray_generator.reference_encoder.model import ReferenceEncoder, build_network

ASKED = every_class(12)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def encoder() -> ReferenceEncoder:
    torch.manual_seed(0)
    network = build_network(EncoderShape(48, 16, (16, 32), (1, 1)), CLASSES)
    calibration = dict.fromkeys(CLASSES, Calibration())
    encoder = ReferenceEncoder(network, 48, calibration, "tiny@0", classes=CLASSES)
    lesson = textures("lesson", every_class(40), np.random.default_rng(9))
    labels = np.array([CLASSES.index(row.label) for row in lesson.rows])
    head = LogisticRegression(C=1e3, max_iter=3_000).fit(encoder(lesson.images), labels)
    with torch.no_grad():
        network.classifier[1].weight[:] = torch.tensor(head.coef_, dtype=torch.float32)
        network.classifier[1].bias[:] = torch.tensor(head.intercept_, dtype=torch.float32)
    return encoder


@pytest.fixture
def real(rng: np.random.Generator) -> ImageSet:
    return textures("real, test", every_class(15), rng)


def get(found: list[Measurement], condition: str = "") -> Measurement:
    (one,) = [m for m in found if m.measure == "class_accuracy" and m.condition == condition]
    return one


def test_a_generator_that_draws_the_class_is_as_good_as_real(
    encoder: ReferenceEncoder, real: ImageSet, rng: np.random.Generator
) -> None:
    found = measure_class_accuracy(encoder, textures("generated", ASKED, rng), real, rng)
    whole = get(found)
    assert whole.value is not None and whole.value > 0.9
    assert whole.real is not None and whole.real > 0.9
    assert (whole.n, whole.real_n, whole.split, whole.extractor) == (96, 120, "test", "tiny@0")
    assert whole.interval is not None and whole.interval[0] <= whole.value <= whole.interval[1]
    assert whole.interval[0] < 1, "a few images that are all right promise nothing for certain"
    assert {m.condition for m in found} == {"", *CLASSES}
    assert {m.measure for m in found} <= MEASURES.keys()


def test_shuffled_classes_give_chance(encoder: ReferenceEncoder, real: ImageSet, rng: np.random.Generator) -> None:
    drawn = textures("generated", ASKED, rng, shown=list(rng.permutation(ASKED)))
    whole = get(measure_class_accuracy(encoder, drawn, real, rng))
    assert whole.value == pytest.approx(1 / 8, abs=0.1)
    assert whole.real is not None and whole.real > 0.9


def test_a_class_that_is_never_drawn_is_seen_in_its_own_figure_and_in_the_table(
    encoder: ReferenceEncoder, real: ImageSet, rng: np.random.Generator
) -> None:
    shown = ["across_fine" if label == "along_fine" else label for label in ASKED]
    drawn = textures("generated", ASKED, rng, shown=shown)
    found = measure_class_accuracy(encoder, drawn, real, rng)
    assert get(found, "along_fine").value == pytest.approx(0, abs=0.1)
    assert get(found, "rising_wide").value == pytest.approx(1, abs=0.1)
    table = class_confusion(encoder, drawn, real)
    (line,) = [line for line in table if line["images"] == "generated" and line["class"] == "along_fine"]
    assert line["called across_fine"] >= 11 and sum(line[f"called {name}"] for name in CLASSES) == 12
    assert len(table) == 2 * len(CLASSES)


def test_class_labels_are_measured_like_findings(
    encoder: ReferenceEncoder, real: ImageSet, rng: np.random.Generator
) -> None:
    found = measure_fidelity(encoder, textures("generated", ASKED, rng), real, rng)
    area = next(m for m in found if m.measure == "prompt_auroc" and m.condition == "along_fine")
    assert area.value is not None and area.value > 0.95


def test_what_cannot_be_measured_gives_a_reason(
    encoder: ReferenceEncoder, real: ImageSet, rng: np.random.Generator
) -> None:
    (nothing,) = measure_class_accuracy(encoder, ImageSet("folder", real.images), real, rng)
    assert nothing.value is None and "not known" in nothing.reason
    (alone,) = measure_class_accuracy(encoder, textures("generated", ["along_fine"] * 12, rng), real, rng)
    assert alone.value is None and "no two classes" in alone.reason
    few = measure_class_accuracy(encoder, textures("generated", every_class(3), rng), real, rng)
    assert get(few).value is not None and "3 images of it" in get(few, "along_fine").reason


def test_a_class_that_fills_its_source_does_not_count() -> None:
    """The classifier always answers the first class; a second source, which holds that class alone, does not count."""
    rng = np.random.default_rng(0)
    both = textures("a", ["along_fine", "across_fine"] * 5, rng).rows
    alone = textures("b", ["along_fine"] * 90, rng, source="another hospital").rows
    found = class_quality((*both, *alone), ("along_fine", "across_fine"), np.tile([0.9, 0.1], (100, 1)))
    assert found is not None
    assert (found.n, found.accuracy) == (10, 0.5) and found.recalls == {"along_fine": 1, "across_fine": 0}
    assert class_quality(alone, ("along_fine", "across_fine"), np.tile([0.9, 0.1], (90, 1))) is None
