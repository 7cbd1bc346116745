"""The curve over few real images: it rises, it gains from good generated images, and from useless ones it does not."""

import numpy as np
import pytest

from tests.evaluation.textures import CLASSES, every_class, textures
from xray_generator.evaluation.class_utility import describe, measure_few
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.measures import MEASURES
from xray_generator.types import StudioError

SOME = CLASSES[:4]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def real(rng: np.random.Generator) -> ImageSet:
    return hard("real", every_class(30, SOME), rng, split="train")


@pytest.fixture
def unseen(rng: np.random.Generator) -> ImageSet:
    return hard("test", every_class(25, SOME), rng)


def hard(name: str, labels: list[str], rng: np.random.Generator, **more: object) -> ImageSet:
    """So noisy that five images of a class do not suffice."""
    images = textures(name, labels, rng, **more)
    noise = rng.normal(0, 0.5, images.images.shape)
    noisy = np.clip(images.images + noise, 0, 1).astype(np.float32)
    return ImageSet(name, noisy, images.rows, images.names)


def test_good_generated_images_help_where_real_ones_are_few(
    real: ImageSet, unseen: ImageSet, rng: np.random.Generator
) -> None:
    found, curve = measure_few(hard("generated", every_class(60, SOME), rng), real, unseen, rng, 3)
    assert curve.x == (5, 10, 20, 30)
    alone, both, synthetic = (curve.lines[name] for name in ("real alone", "both", "generated alone"))
    assert alone[0] < alone[-1] and len(set(synthetic)) == 1
    first = found[0]
    assert first.measure == "few_gain" and first.value == pytest.approx(both[0] - alone[0]) and first.value > 0
    assert first.real == pytest.approx(alone[0])
    assert first.interval is not None and first.interval[0] <= first.value <= first.interval[1]
    assert first.settings == {"real_images_a_class": 5, "seeds": 3}
    assert (first.n, first.real_n, first.split) == (240, 100, "test")
    assert found[-1].measure == "few_synthetic" and found[-1].value == pytest.approx(synthetic[0])
    assert "240 generated" in curve.title and "100 real test images" in curve.y_label
    assert {m.measure for m in found} <= MEASURES.keys()


def test_images_of_other_classes_than_asked_help_nothing(
    real: ImageSet, unseen: ImageSet, rng: np.random.Generator
) -> None:
    asked = every_class(60, SOME)
    useless = hard("generated", asked, rng, shown=list(rng.permutation(asked)))
    found, curve = measure_few(useless, real, unseen, rng, 2)
    assert curve.lines["generated alone"][0] == pytest.approx(0.25, abs=0.12)
    assert found[-2].value is not None and found[-2].value < 0.05


def test_too_few_classes_say_so_and_a_class_of_another_source_does_not_count(
    real: ImageSet, unseen: ImageSet, rng: np.random.Generator
) -> None:
    one = hard("generated", every_class(30, SOME[:1]), rng)
    with pytest.raises(StudioError, match="two classes"):
        measure_few(one, real, unseen, rng)
    stranger = hard("real", every_class(30, SOME[2:3]), rng, split="train", source="elsewhere")
    known = real.take([i for i, row in enumerate(real.rows) if row.label in SOME[:2]])
    joined = ImageSet("real", np.concatenate([known.images, stranger.images]), known.rows + stranger.rows)
    found, _ = measure_few(hard("generated", every_class(30, SOME), rng), joined, unseen, rng, 1)
    assert found[0].real_n == 50, "of the first two classes alone"


def test_the_description_does_not_turn_with_the_image(rng: np.random.Generator) -> None:
    images = rng.random((2, 64, 64), dtype=np.float32)
    turned = np.ascontiguousarray(np.rot90(images, axes=(1, 2)))
    rings = slice(0, 24 * 8)
    assert np.allclose(describe(images)[:, rings], describe(turned)[:, rings], atol=1e-3)
    assert not np.allclose(describe(images)[0, rings], describe(images)[1, rings], atol=1e-3)
