"""Lung CT by class: a continuous normalizing flow from noise to slices, with likelihoods."""

from __future__ import annotations

import argparse
from pathlib import Path

from xray_generator.data.rows import Dataset
from xray_generator.families.flow_matching.config import FlowMatchingConfig
from xray_generator.types import ClassLabel, Engine, Family, StudioError

__all__ = ["FAMILY"]


def _load(folder: Path, device: str | None = None) -> Engine:
    from xray_generator.families.flow_matching.engine import load_engine

    return load_engine(folder, device)


def _train(config: FlowMatchingConfig, dataset: Dataset, run: Path, options: argparse.Namespace) -> Path:
    from xray_generator.devices import set_threads
    from xray_generator.families.flow_matching.training import train_run

    if options.train_vae_only:
        raise StudioError("A flow has no autoencoder; leave --train_vae_only out.")
    if options.resume_from is not None and options.resume_from.resolve() != run.resolve():
        raise StudioError(f"A flow's run is continued where it is: --resume_from {run}, not another folder.")
    set_threads(options.num_threads)
    return train_run(config, dataset, run, options.output_dir / "checkpoints" / config.family / run.name)


FAMILY = Family(condition=ClassLabel, modality="CT", load=_load, train=_train, config=lambda: FlowMatchingConfig)
