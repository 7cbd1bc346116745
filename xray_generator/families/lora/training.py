"""A run of training, and the release of its adapter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xray_generator.abilities import UNET, Adaptable
from xray_generator.checkpoints import Manifest, Metrics, code_commit
from xray_generator.data.rows import Dataset
from xray_generator.devices import process_state
from xray_generator.families.lora.card import describe
from xray_generator.families.lora.config import LoraConfig
from xray_generator.families.lora.engine import adapted_layers, import_base, load_base, load_engine
from xray_generator.families.lora.task import LoraTask
from xray_generator.nn.adapter import adapter_tensors, add_adapter, save_adapter
from xray_generator.training.loop import train
from xray_generator.training.release import draft_manifest, release
from xray_generator.types import Engine, RunOptions, StudioError

STAGE = "adapter"


def train_run(config: LoraConfig, dataset: Dataset, options: RunOptions) -> Path:
    """Train what is left of a run and return the checkpoint; `train` is trained on, `val` is measured meanwhile.

    Only images that meet one of the `conditions` of the settings are used, and told of in the manifest.
    A base that is a Stable Diffusion in a folder or of the hub is imported first; the adapter names its checkpoint.

    Raises:
        StudioError: the base is not here or cannot be adapted, an image has no prompt, no image meets a condition, or
            there is no training image; or see `training.loop.train`.
    """
    run, commit = options.run, code_commit()  # of the code that runs, whatever changes on disk meanwhile
    dataset = dataset.meeting(config.conditions)
    rows = dataset.split("train")
    if not rows:
        raise StudioError("There is no training image.")
    with process_state().main_process_first():  # the others find it there
        config = replace(config, base=import_base(config.base, options.checkpoint))
    base: Any = load_base(config.base, options.checkpoint)
    known = base.adaptable()
    layers = adapted_layers(config, known)
    torch.manual_seed(config.training.seed)
    networks = {name: known[name] for name in layers}
    for name, network in networks.items():
        add_adapter(network, layers[name], config.rank, config.alpha, config.dropout)
    if config.gradient_checkpointing:
        networks[UNET].enable_gradient_checkpointing()
    train(LoraTask(base, networks, rows, dataset.split("val"), config), config.training, run / STAGE)
    if process_state().is_main_process:
        export(config, base, networks, dataset, options.checkpoint, commit, run)
    return options.checkpoint


def export(
    config: LoraConfig,
    base: Engine,
    networks: Mapping[str, nn.Module],
    dataset: Dataset,
    folder: Path,
    commit: str = "unknown",
    run: Path | None = None,
) -> Manifest:
    """Release the adapter, see `training.release.release`; what it draws with is the base's, which it names by hash."""
    assert isinstance(base, Adaptable)
    own = base.manifest

    def save(place: Path) -> None:
        save_adapter(adapter_tensors(networks, config.alpha / config.rank), place)

    manifest = draft_manifest(
        config,
        dataset,
        {STAGE: config.training.num_steps},
        commit,
        preprocessing=own.preprocessing,
        recommended=own.recommended,
        sizes=own.sizes,
        schedulers=own.schedulers,
        few_steps=own.few_steps,
        modality=own.modality,
        vocabulary=own.vocabulary,
        base=own.ref,
    )
    return release(folder, manifest, save, load_engine, lambda _: Metrics(), describe, run)
