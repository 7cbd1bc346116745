"""Text-to-chest-X-ray latent diffusion."""

from __future__ import annotations

import argparse
from pathlib import Path

from xray_generator.data.rows import Dataset
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig
from xray_generator.types import Engine, Family, TextPrompt

__all__ = ["FAMILY"]


def _load(folder: Path, device: str | None = None) -> Engine:
    from xray_generator.families.latent_diffusion.loading import load_engine

    return load_engine(folder, device)


def _train(config: LatentDiffusionConfig, dataset: Dataset, run: Path, options: argparse.Namespace) -> Path:
    from xray_generator.devices import set_threads
    from xray_generator.families.latent_diffusion.training import train_run

    set_threads(options.num_threads)
    resume = options.resume_from
    return train_run(
        config,
        dataset,
        run,
        options.output_dir / "checkpoints" / config.family / run.name,
        autoencoder_from=None if resume is None or resume.resolve() == run.resolve() else resume,
        autoencoder_only=options.train_vae_only,
    )


FAMILY = Family(condition=TextPrompt, modality="DX", load=_load, train=_train, config=lambda: LatentDiffusionConfig)
