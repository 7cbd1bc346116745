"""The drawn cilium: the truth obeys its class, and the image obeys the truth."""

import math
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from xray_generator.data.axoneme import CLASSES, Axoneme, Doublet, draw_native_size, draw_truth
from xray_generator.data.axoneme_drawing import render
from xray_generator.types import Image, StudioError

SIDE = 448


def rng(seed: int) -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def truth() -> Axoneme:
    """A normal cilium with every arm, alone in the image."""
    drawn = draw_truth("normal", rng(3))
    doublets = tuple(replace(d, outer_arm=True, inner_arm=True) for d in drawn.doublets)
    return replace(drawn, doublets=doublets, neighbor_angle=None, microvillus=None, compression=1.0, obliquity=0.02)


def local(doublet: Doublet, clockwise: float, outward: float) -> tuple[float, float]:
    """A point in nm, seen from the doublet's middle."""
    c, s = math.cos(doublet.angle), math.sin(doublet.angle)
    return doublet.x - s * clockwise + c * outward, doublet.y + c * clockwise + s * outward


def distances(truth: Axoneme, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """For every pixel the distance to the nearest point, in nm."""
    y, x = np.mgrid[:SIDE, :SIDE]
    pixels = truth.to_pixels(points, SIDE, SIDE)
    squared = [(x - px) ** 2 + (y - py) ** 2 for px, py in pixels]
    return np.sqrt(np.min(squared, axis=0)) * truth.nm_per_pixel(SIDE, SIDE)


@pytest.mark.parametrize("label", CLASSES)
def test_truth_obeys_its_class(label: str) -> None:
    recipe = CLASSES[label]
    for seed in range(40):
        truth = draw_truth(label, rng(seed))
        for kept, seen in (
            (recipe.outer_arms, [d.outer_arm for d in truth.doublets]),
            (recipe.inner_arms, [d.inner_arm for d in truth.doublets]),
        ):
            assert sum(seen) >= len(seen) - 1 if kept else sum(seen) <= 2
        radii = [math.hypot(d.x, d.y) for d in truth.doublets]
        places = np.array([(d.x, d.y) for d in truth.doublets])
        apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) + 1e3 * np.eye(len(places))
        assert apart.min() > 40
        assert max(radii) + 33 < truth.membrane.minor * 1.1  # all within the membrane
        if recipe.disarranged:
            assert len(radii) != 9 or min(radii) < 0.9 * max(radii)
        else:
            assert len(radii) == 9
            assert min(radii) > 80 and max(radii) < 100
            assert len(truth.central) == recipe.num_central


def test_tubule_a_is_clockwise_and_nearer_to_the_center() -> None:
    for doublet in draw_truth("normal", rng(0)).doublets:
        (ax, ay), (bx, by) = local(doublet, 8.75, 0), local(doublet, -8.75, 0)
        assert math.hypot(ax, ay) < math.hypot(bx, by)
        assert bx * ay - by * ax > 0  # from B to A the angle grows; on a screen that is clockwise


def test_unknown_class_names_the_classes() -> None:
    with pytest.raises(StudioError, match="allowed: normal, oda"):
        draw_truth("kartagener", rng(0))
    with pytest.raises(StudioError, match="Unknown class"):
        replace(draw_truth("normal", rng(0)), label="x")


def test_same_seed_gives_the_same_truth_and_image() -> None:
    first, again, other = (draw_truth("ida", rng(seed)) for seed in (5, 5, 6))
    assert first == again != other
    image, same, new = (render(first, 96, 96, rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(image, same)
    assert not np.array_equal(image, new)


@pytest.mark.parametrize("shape", [(64, 64), (224, 224), (300, 260), (500, 640)])
def test_image_is_gray_from_0_to_1_in_the_shape_asked_for(shape: tuple[int, int]) -> None:
    image = render(draw_truth("disarranged", rng(1)), *shape, rng(1))
    assert image.shape == shape
    assert image.dtype == np.float32
    assert image.min() >= 0 and image.max() <= 1
    assert image.std() > 0.08
    assert (image > 0.999).mean() < 0.05 and (image < 0.001).mean() < 0.05  # neither burnt out nor drowned


@pytest.mark.parametrize("size", [300, 525, 672, 901])
def test_scene_is_the_same_at_every_size(size: int) -> None:
    for seed in range(3):
        truth = draw_truth("normal", rng(seed))
        small, large = (render(truth, side, side, rng(2)) for side in (150, size))
        seen = cv2.resize(large, (150, 150), interpolation=cv2.INTER_AREA)
        assert np.corrcoef(seen.ravel(), small.ravel())[0, 1] > 0.98


def test_small_image_is_the_large_one_seen_from_afar(truth: Axoneme) -> None:
    small, large = render(truth, 224, 224, rng(2)), render(truth, 448, 448, rng(2))
    assert np.abs(cv2.resize(large, (224, 224), interpolation=cv2.INTER_AREA) - small).mean() < 1e-3


@pytest.mark.parametrize(
    ("without", "outward"),
    [
        (lambda d: replace(d, outer_arm=False), 11.0),
        (lambda d: replace(d, inner_arm=False), -11.0),
    ],
)
def test_arms_that_are_lost_change_the_image_at_their_place_and_nowhere_else(
    truth: Axoneme, without: Callable[[Doublet], Doublet], outward: float
) -> None:
    lost = replace(truth, doublets=tuple(map(without, truth.doublets)))
    change = render(lost, SIDE, SIDE, rng(4)) - render(truth, SIDE, SIDE, rng(4))
    away = distances(truth, np.array([local(d, 8.75 + 18, outward) for d in truth.doublets]))
    assert np.abs(change[away > 32]).max() < 1 / 255
    for doublet in truth.doublets:
        near = distances(truth, np.array([local(doublet, 8.75 + 18, outward)])) < 5
        assert change[near].mean() > 0.08  # brighter without the arm


def test_microtubules_are_dark_rings_where_the_truth_says(truth: Axoneme) -> None:
    image = render(truth, SIDE, SIDE, rng(5))
    centers = [local(d, side, 0) for d in truth.doublets for side in (8.75, -8.75)] + list(truth.central)
    for center in centers:
        away = distances(truth, np.array([center]))
        assert image[abs(away - 10.3) < 1.5].mean() < image[away < 4].mean() - 0.05
    assert len(centers) == 20


def test_membrane_parts_dark_cytosol_from_light_resin(truth: Axoneme) -> None:
    image = render(truth, SIDE, SIDE, rng(6))

    def along(offset: float) -> Image:
        x, y = np.rint(truth.to_pixels(truth.membrane.outline(300, offset), SIDE, SIDE)).astype(int).T
        return image[y, x]

    outside, outer, middle, inner, inside = (along(nm).mean() for nm in (14, 3.4, 0, -3.4, -12))
    assert outside > inside > max(outer, inner)
    assert middle > max(outer, inner)  # dark, light, dark


def test_lengths_are_those_of_the_field(truth: Axoneme) -> None:
    ends = truth.to_pixels(np.array([(0.0, 0.0), (100.0, 0.0)]), 300, 400)
    assert math.dist(*ends) == pytest.approx(100 / (truth.field_nm / 300))
    squeezed = replace(truth, compression=0.9, compression_angle=0.0).to_pixels(
        np.array([(0, 0), (100.0, 0)]), 300, 400
    )
    assert math.dist(*squeezed) == pytest.approx(0.9 * math.dist(*ends))


def test_native_sizes_are_those_of_the_micrographs() -> None:
    generator = rng(0)
    sizes = np.array([draw_native_size(generator) for _ in range(2000)])
    aspect = sizes[:, 1] / sizes[:, 0]
    assert abs(sizes[:, 1].mean() - 525) < 25 and 140 < sizes[:, 1].std() < 180
    assert abs(aspect.mean() - 1.04) < 0.02 and abs(aspect.std() - 0.117) < 0.02
    assert sizes.min() > 150
