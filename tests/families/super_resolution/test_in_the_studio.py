"""A size that a checkpoint does not draw is had by drawing and enlarging: one request, one progress, one recipe."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from xray_generator.devices import seeded_generators
from xray_generator.export.pictures import pictures
from xray_generator.export.recipe import recipes
from xray_generator.families.super_resolution.engine import SuperResolutionEngine
from xray_generator.images import from_tensor, to_tensor
from xray_generator.reproduce import reproduce
from xray_generator.requests import text_request
from xray_generator.studio import Studio
from xray_generator.types import Canceled, GenerationRequest, Preview, StudioError


@pytest.fixture(scope="module")
def studio(tiny_checkpoint: Path, straight: Path, tmp_path_factory: pytest.TempPathFactory) -> Studio:
    folder = tmp_path_factory.mktemp("both")
    shutil.copytree(tiny_checkpoint, folder, dirs_exist_ok=True)
    shutil.copytree(straight / "checkpoints", folder / "checkpoints", dirs_exist_ok=True)
    return Studio(folder, "cpu")


def ask(size: int, num_images: int = 1, seed: int = 5) -> GenerationRequest:
    return text_request("Normal chest X-ray", seed=seed, size=size, steps=3, num_images=num_images)


def test_an_upscaler_is_no_generator_but_adds_its_sizes(studio: Studio, tiny_checkpoint: Path) -> None:
    assert [manifest.name for manifest in studio.checkpoints()] == ["tiny"]
    assert studio.sizes("tiny") == (64, 96)
    assert Studio(tiny_checkpoint, "cpu").sizes("tiny") == (64,)
    with pytest.raises(StudioError, match="enlarges images and draws none"):
        studio.generate(ask(64), "small")


def test_an_enlarged_image_is_the_drawn_one_enlarged(studio: Studio, upscaler: SuperResolutionEngine) -> None:
    (small,) = studio.generate(ask(64)).images
    result = studio.generate(ask(96))
    (expected,) = from_tensor(upscaler.upscale(to_tensor(small[None]), 96, None, seeded_generators(5, 1, stream=1)))
    np.testing.assert_allclose(result.images[0], expected, atol=2 / 255)  # `small` lost what is finer than its pixels
    assert (result.request.height, result.request.width) == (96, 96)
    assert result.upscaler == upscaler.manifest.ref
    assert recipes(result)[0].upscaler == upscaler.manifest.ref
    assert studio.generate(ask(64)).upscaler is None
    (picture,) = pictures(result, 0)
    assert reproduce(studio, picture.recipe, picture.png()).num_different == 0


def test_an_enlarged_image_of_a_batch_equals_the_image_alone(studio: Studio) -> None:
    batch = studio.generate(ask(96, num_images=2))
    assert np.array_equal(batch.images[1], studio.generate(ask(96, seed=6)).images[0])


def test_progress_counts_both_networks_over_all_images(studio: Studio) -> None:
    seen: list[tuple[int, int]] = []
    studio.generate(ask(96, num_images=2), on_step=lambda done, total, _: seen.append((done, total)))
    assert seen == [(0, 0), *((i + 1, 10) for i in range(10))]  # loaded; two images of three steps and two


def test_canceling_works_while_it_enlarges(studio: Studio) -> None:
    def stop(done: int, _total: int, _preview: Preview) -> None:
        if done == 4:
            raise Canceled

    with pytest.raises(Canceled):
        studio.generate(ask(96), on_step=stop)


def test_sizes_that_neither_makes_are_refused(studio: Studio) -> None:
    with pytest.raises(StudioError, match="draws 64x64 pixels, not 48x48"):
        studio.generate(ask(48))
