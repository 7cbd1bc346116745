"""A denoiser of unfolded latents, its finest scale without attention, that predicts the latents themselves."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xray_generator.data.rows import Dataset
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig, UNetConfig
from xray_generator.families.latent_diffusion.engine import load_engine
from xray_generator.families.latent_diffusion.model import LatentDiffusion
from xray_generator.families.latent_diffusion.training import export
from xray_generator.generation import generate
from xray_generator.requests import text_request
from xray_generator.types import StudioError

UNFOLDED = UNetConfig(channels=(32, 32, 64), num_heads=2, fold=1, plain_levels=1)


def test_it_is_exported_loaded_and_draws(
    make_model: Callable[[LatentDiffusionConfig], LatentDiffusion],
    tiny_config: LatentDiffusionConfig,
    tiny_dataset: Dataset,
    tmp_path: Path,
) -> None:
    config = replace(tiny_config, unet=UNFOLDED, schedule=replace(tiny_config.schedule, prediction_type="sample"))
    model = make_model(config)
    assert model.unet.config.in_channels == config.autoencoder.latent_channels
    assert model.unet.config.down_block_types == ("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D")
    assert model.unet.config.up_block_types == ("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")
    export(config, model, tiny_dataset, tmp_path / "tiny")
    engine = load_engine(tmp_path / "tiny", "cpu")
    assert engine.model.statistics.fold == 1 and engine.model.side_of(64) == 8
    for scheduler in ("dpm++", "ddim", "unipc", "ddpm"):
        request = text_request("Normal chest X-ray", seed=1, size=64, steps=3, guidance=2.0, scheduler=scheduler)
        (image,) = generate(engine, request).images
        assert image.shape == (64, 64) and np.isfinite(image).all()
    assert "v, which follows from the latents that the UNet predicts" in (tmp_path / "tiny" / "README.md").read_text()


def test_a_scale_is_left_to_the_text() -> None:
    with pytest.raises(StudioError, match="plain_levels must leave a scale to the text: at most 1"):
        replace(UNFOLDED, plain_levels=2)
