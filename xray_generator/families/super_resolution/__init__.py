"""Chest X-rays at 512 and 768 pixels: a flow adds the detail that an enlarged image lacks."""

from __future__ import annotations

import argparse
from pathlib import Path

from xray_generator.data.rows import Dataset
from xray_generator.families.super_resolution.config import SuperResolutionConfig
from xray_generator.types import Engine, Family, StudioError, Unconditional, Upscaler

__all__ = ["FAMILY"]


def _load(folder: Path, device: str | None = None) -> Engine:  # noqa: ARG001 - as every family's
    raise StudioError(f"{folder.name} enlarges images and draws none by itself. Choose another checkpoint.")


def _load_upscaler(folder: Path, device: str | None = None) -> Upscaler:
    from xray_generator.families.super_resolution.engine import load_engine

    return load_engine(folder, device)


def _train(config: SuperResolutionConfig, dataset: Dataset, run: Path, options: argparse.Namespace) -> Path:
    from xray_generator.devices import set_threads
    from xray_generator.families.super_resolution.training import train_run

    if options.train_vae_only:
        raise StudioError("A super-resolution run has no autoencoder; leave --train_vae_only out.")
    if options.resume_from is not None and options.resume_from.resolve() != run.resolve():
        raise StudioError(f"A super-resolution run is continued where it is: --resume_from {run}, not another folder.")
    set_threads(options.num_threads)
    return train_run(config, dataset, run, options.output_dir / "checkpoints" / config.family / run.name)


FAMILY = Family(
    condition=Unconditional,
    modality="DX",
    load=_load,
    train=_train,
    config=lambda: SuperResolutionConfig,
    load_upscaler=_load_upscaler,
)
