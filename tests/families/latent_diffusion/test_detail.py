"""Structure at half the side and detail on top: one checkpoint that draws whole images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from xray_generator.checkpoints import read_manifest
from xray_generator.data.rows import Dataset, Row
from xray_generator.families.latent_diffusion.autoencoder_task import add_noise, load_images
from xray_generator.families.latent_diffusion.config import DetailConfig, LatentDiffusionConfig
from xray_generator.families.latent_diffusion.detail_task import DetailLoss, DetailTask, Films
from xray_generator.families.latent_diffusion.engine import LatentDiffusionEngine, load_engine
from xray_generator.families.latent_diffusion.model import LatentDiffusion
from xray_generator.families.latent_diffusion.training import train_run
from xray_generator.generation import edit, generate
from xray_generator.nn.refinement import Refinement, condition_on, enlarge
from xray_generator.requests import text_request
from xray_generator.training.task import Draw, step_generator
from xray_generator.types import Edit, RunOptions, StudioError

MakeModel = Callable[[LatentDiffusionConfig], LatentDiffusion]
REQUEST = text_request("Normal chest X-ray", seed=3, size=64, guidance=1.5)


@pytest.fixture(scope="module")
def config(tiny_config: LatentDiffusionConfig) -> LatentDiffusionConfig:
    return replace(
        tiny_config,
        detail_training=tiny_config.autoencoder_training,
        detail=DetailConfig((8, 16), (1, 1), 8, num_inference_steps=2, crop_size=32),
        unet=replace(tiny_config.unet, fold=1),
    )


@pytest.fixture(scope="module")
def folder(config: LatentDiffusionConfig, tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detail")
    return train_run(config, tiny_dataset, RunOptions(folder / "run", folder / "tiny"))


@pytest.fixture(scope="module")
def engine(folder: Path) -> LatentDiffusionEngine:
    return load_engine(folder, "cpu")


def test_autoencoder_and_denoiser_work_at_half_the_side(engine: LatentDiffusionEngine, folder: Path) -> None:
    assert (engine.config.image_size, engine.config.structure_size, engine.model.side_of(64)) == (64, 32, 4)
    assert read_manifest(folder).sizes == (64,) and "refinement" in engine.components()
    assert read_manifest(folder).steps == {"autoencoder": 2, "detail": 2, "denoiser": 2}
    assert "2. **Detail**, 2 steps of 4 images" in (folder / "README.md").read_text()


def test_images_are_whole_and_a_function_of_their_seed(engine: LatentDiffusionEngine) -> None:
    one, two = generate(engine, REQUEST).images[0], generate(engine, replace(REQUEST, num_images=2)).images
    assert one.shape == (64, 64)
    np.testing.assert_array_equal(one, two[0])
    assert not np.array_equal(one, two[1])


def test_detail_depends_on_the_generator_alone(engine: LatentDiffusionEngine) -> None:
    latents = torch.zeros(1, 4, 4, 4)
    first, again, other = (engine.model.decode_latents(latents, [step_generator(seed)]) for seed in (0, 0, 1))
    smooth = engine.decode(latents)
    assert first.shape == smooth.shape == (1, 1, 64, 64)
    assert torch.equal(first, again) and not torch.equal(first, other) and not torch.equal(first, smooth)
    assert torch.equal(engine.decode(latents), smooth)


def test_encoding_and_editing_take_whole_images(engine: LatentDiffusionEngine) -> None:
    image = generate(engine, REQUEST).images[0]
    assert engine.encode(torch.from_numpy(image)[None, None] * 2 - 1).shape == (1, 4, 4, 4)
    for source in (image, None):
        result = edit(engine, source, REQUEST, Edit("Normal chest X-ray", strength=0.5))
        assert result.before.shape == result.after.images[0].shape == (64, 64)


def test_an_edit_to_the_same_prompt_leaves_even_the_detail(engine: LatentDiffusionEngine) -> None:
    result = edit(engine, None, REQUEST, Edit("Normal chest X-ray", strength=0.5))
    np.testing.assert_allclose(result.before, result.after.images[0], atol=1e-5)


def test_crops_of_film_and_structure_show_the_same_place(
    config: LatentDiffusionConfig, tiny_rows: tuple[Row, ...]
) -> None:
    """With an autoencoder that changes nothing, bicubic interpolation of the crop is near the film's crop."""
    films = Films(tiny_rows, config)
    items = [films[Draw(i, 5 * i)] for i in range(4)]
    batch = {name: torch.stack([item[name] for item in items]) for name in items[0]}
    assert (batch["corner"] % 2 == 0).all() and len(batch["corner"].unique()) > 2
    torch.manual_seed(0)
    loss = DetailLoss(Refinement((8, 16), (1, 1), 8), make_identity(), config)
    crops, enlarged = loss.pairs(batch, step_generator(0))
    assert crops.shape == enlarged.shape == (4, 1, 32, 32)
    assert (crops - enlarged).abs().mean() < 0.05
    assert (crops - enlarged.roll(2, -1)).abs().mean() > 1.2 * (crops - enlarged).abs().mean()
    losses = loss(batch, step_generator(0))
    assert losses["one_step"].item() == pytest.approx(1, abs=1e-4)  # an untrained network adds nothing
    assert {name.split(".")[0] for name, _ in loss.named_parameters()} == {"refinement"}


def test_the_residual_has_unit_size_once_it_is_measured(
    config: LatentDiffusionConfig, tiny_rows: tuple[Row, ...]
) -> None:
    refinement = Refinement((8, 16), (1, 1), 8)
    task = DetailTask(config, refinement, make_identity(), tiny_rows, ())  # type: ignore[arg-type]
    task.measure_residual()
    items = [task.dataset()[Draw(i, i)] for i in range(len(tiny_rows))]
    batch = {name: torch.stack([item[name] for item in items]) for name in items[0]}
    films, enlarged = task.module.pairs(batch, step_generator(0))
    scale = condition_on(enlarged, refinement.flow.statistics).scale
    assert ((films - enlarged) / scale).square().mean().item() == pytest.approx(1, abs=0.3)


def make_identity() -> torch.nn.Module:
    """What stands for an autoencoder whose copies are exact."""

    class Identity(torch.nn.Module):
        def encode(self, images: torch.Tensor) -> object:
            return type("Posterior", (), {"mean": images})

        def decode(self, latents: torch.Tensor) -> torch.Tensor:
            return latents

    return Identity()


def test_noise_of_latents_is_in_units_of_each_channel() -> None:
    latents = torch.randn(64, 2, 8, 8) * torch.tensor([1.0, 10.0])[:, None, None]
    added = add_noise(latents, 0.4, step_generator(0)) - latents
    ratio = added.std((0, 2, 3)) / latents.std((0, 2, 3))
    assert ratio[0] == pytest.approx(ratio[1].item(), rel=0.1)
    assert ratio[0] == pytest.approx(0.4 / 3**0.5, rel=0.15)
    assert torch.equal(add_noise(latents, 0.0, step_generator(0)), latents)


def test_enlarging_keeps_the_mean(tiny_rows: tuple[Row, ...]) -> None:
    images = load_images(tiny_rows[:2], 32)
    assert enlarge(images).shape == (2, 1, 64, 64)
    assert enlarge(images).mean().item() == pytest.approx(images.mean().item(), abs=0.01)


def test_a_crop_larger_than_the_image_is_refused(config: LatentDiffusionConfig) -> None:
    with pytest.raises(StudioError, match="crop_size must be image_size"):
        replace(config, detail=replace(config.detail, crop_size=128))
