"""Enlarging with a checkpoint: one image at a time, by trained ratios, from its own generator."""

import pytest
import torch

from xray_generator.data.rows import Dataset
from xray_generator.devices import seeded_generators
from xray_generator.families.super_resolution.engine import SuperResolutionEngine, plan_passes
from xray_generator.images import resize_square, to_tensor
from xray_generator.nn.degradation import Degradation
from xray_generator.types import StudioError


@pytest.fixture(scope="module")
def images(tiny_dataset: Dataset) -> torch.Tensor:
    """(3, 1, 32, 32) in [-1, 1]."""
    return torch.cat([to_tensor(resize_square(row.image(), 32)[None]) for row in tiny_dataset.rows[:3]])


def test_every_step_of_every_pass_is_reported(upscaler: SuperResolutionEngine, images: torch.Tensor) -> None:
    seen: list[tuple[int, int, tuple[int, ...]]] = []
    made = upscaler.upscale(
        images[:2], 96, None, seeded_generators(0, 2), lambda *step: seen.append((*step[:2], step[2]().shape))
    )
    assert made.shape == (2, 1, 96, 96)
    sides = [64, 64, 96, 96]  # 3 times the side in two passes, two steps each
    assert seen == [(i + 1, 8, (side, side)) for i, side in enumerate(sides * 2)]


def test_degradation_adds_noise_and_assumes_blur(upscaler: SuperResolutionEngine, images: torch.Tensor) -> None:
    def make(degradation: Degradation) -> torch.Tensor:
        return upscaler.upscale(images[:1], 64, 1, seeded_generators(0, 1), degradation=degradation)

    plain, noisy = make(Degradation()), make(Degradation(noise=0.04))
    assert (noisy - plain).std() > 0.01
    assert torch.equal(make(Degradation(noise=0.04)), noisy)
    assert not torch.equal(make(Degradation(blur=1.0)), plain)


@pytest.mark.parametrize(
    ("side", "size", "sides"),
    [
        (256, 512, (512,)),
        (256, 768, (512, 768)),
        (512, 768, (768,)),
        (256, 640, (640,)),
        (128, 1024, (256, 512, 1024)),
        (100, 512, (208, 512)),
    ],
)
def test_passes_use_trained_ratios(side: int, size: int, sides: tuple[int, ...]) -> None:
    found = plan_passes(side, size, (1.25, 2.5))
    assert found == sides
    assert all(1.25 <= b / a <= 2.5 for a, b in zip((side, *found), found, strict=False))


def test_an_impossible_enlargement_is_refused(upscaler: SuperResolutionEngine, images: torch.Tensor) -> None:
    generators = seeded_generators(0, 3)
    for size in (32, 100, 2_048):
        with pytest.raises(StudioError, match="32 pixels can be enlarged to a multiple of 16 from 40 to 1024"):
            upscaler.upscale(images, size, 1, generators)
    with pytest.raises(StudioError, match="number of steps must be from 1"):
        upscaler.upscale(images, 64, 0, generators)
    with pytest.raises(StudioError, match="Only square images are enlarged, not 24x32"):
        upscaler.upscale(images[..., :24], 64, 1, generators)
    with pytest.raises(StudioError, match="not numbers"):
        upscaler.upscale(images * float("nan"), 64, 1, generators)
