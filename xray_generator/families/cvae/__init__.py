"""Images of one class each, cells above all: a class-conditional variational autoencoder with a learned prior."""

from __future__ import annotations

import argparse
from pathlib import Path

from xray_generator.data.rows import Dataset
from xray_generator.families.cvae.config import CVAEConfig
from xray_generator.types import ClassLabel, Engine, Family, StudioError

__all__ = ["FAMILY"]


def _load(folder: Path, device: str | None = None) -> Engine:
    from xray_generator.families.cvae.engine import load_engine

    return load_engine(folder, device)


def _train(config: CVAEConfig, dataset: Dataset, run: Path, options: argparse.Namespace) -> Path:
    from xray_generator.devices import set_threads
    from xray_generator.families.cvae.training import train_run

    if options.resume_from is not None and options.resume_from.resolve() != run.resolve():
        raise StudioError(f"This run is continued where it is: --resume_from {run}, not another folder.")
    set_threads(options.num_threads)
    return train_run(
        config,
        dataset,
        run,
        options.output_dir / "checkpoints" / config.family / run.name,
        autoencoder_only=options.train_vae_only,
    )


FAMILY = Family(condition=ClassLabel, modality="SM", load=_load, train=_train, config=lambda: CVAEConfig)
