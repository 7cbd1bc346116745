"""The stages of a run, and the checkpoint that comes of it: encoder, decoder, prior and grain, never a latent."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from safetensors.torch import load_model, save_model
from torch import nn

from xray_generator.checkpoints import Manifest, Metrics, code_commit, staged, write_manifest
from xray_generator.config import dump, parse
from xray_generator.data.rows import Dataset, class_names
from xray_generator.devices import pick_device, process_state
from xray_generator.families.cvae.autoencoder_task import Autoencoder, AutoencoderTask, reconstruction_quality
from xray_generator.families.cvae.card import write_card
from xray_generator.families.cvae.config import CVAEConfig
from xray_generator.families.cvae.engine import SCHEDULER, load_engine, weights_file
from xray_generator.families.cvae.grain_task import GrainTask, grain_quality
from xray_generator.families.cvae.model import CVAE, Prior, build_grain, build_networks, measure_statistics
from xray_generator.families.cvae.prior_task import PriorTask, cache_posteriors
from xray_generator.nn.grain import Grain
from xray_generator.training.history import export_history
from xray_generator.training.loop import train
from xray_generator.training.release import data_facts, data_license
from xray_generator.types import Recommendation, RunOptions, StudioError

Network = TypeVar("Network", bound=nn.Module)

AUTOENCODER, PRIOR, GRAIN, WEIGHTS, CACHE = "autoencoder", "prior", "grain", "weights", "cache"  # folders of a run


def train_run(config: CVAEConfig, dataset: Dataset, options: RunOptions) -> Path:
    """Train what is left of the stages in folder `run`; return the checkpoint (or the autoencoder's folder).

    Args:
        config: the run's settings.
        dataset: rows with a class; only `train` is trained on, `val` and `test` are measured.
        run: states, logs and the cache of latents; a run found there is resumed.
        checkpoint: where the finished model goes.
        autoencoder_only: stop after stage 1.

    Raises:
        StudioError: no training image has a class; or see `training.loop.train`.
    """
    run, checkpoint = options.run, options.checkpoint
    commit = code_commit()  # of the code that runs, whatever changes on disk meanwhile
    labels = class_names(dataset.split("train"))
    if not labels:
        raise StudioError(
            "No training image has a class. Name it in the column `label` of metadata.csv, or keep a folder a class."
        )
    dataset = Dataset(tuple(row for row in dataset.rows if row.label in labels), dataset.skipped)
    autoencoder = _trained_autoencoder(config, dataset, labels, run)
    if options.autoencoder_only:
        return run / AUTOENCODER / WEIGHTS
    model = _trained_model(config, dataset, autoencoder, run)
    if process_state().is_main_process:
        stages = {AUTOENCODER: config.autoencoder_training, PRIOR: config.prior_training, GRAIN: config.grain_training}
        steps = {name: stage.num_steps for name, stage in stages.items() if stage is not None}
        export(config, model, dataset, checkpoint, steps, commit, run)
    return checkpoint


def _trained_autoencoder(config: CVAEConfig, dataset: Dataset, labels: tuple[str, ...], run: Path) -> Autoencoder:
    """In float32 on the device; trained unless the run holds its weights."""
    torch.manual_seed(config.autoencoder_training.seed)
    autoencoder = Autoencoder(*build_networks(len(labels), config), labels)
    networks = {"encoder": autoencoder.encoder, "decoder": autoencoder.decoder}
    finished = run / AUTOENCODER / WEIGHTS
    is_finished = finished.is_dir()
    process_state().wait_for_everyone()  # every process has looked before one of them writes
    if not is_finished:
        task = AutoencoderTask(config, autoencoder, dataset.split("train"), dataset.split("val"))
        train(task, config.autoencoder_training, run / AUTOENCODER)
        if process_state().is_main_process:
            with staged(finished) as place:  # the folder is there only when it is whole
                _save(networks, place)
        process_state().wait_for_everyone()
    for name, network in networks.items():
        load_model(network, weights_file(finished, name))
        network.to(pick_device()).eval().requires_grad_(requires_grad=False)
    return autoencoder


def _trained_model(config: CVAEConfig, dataset: Dataset, autoencoder: Autoencoder, run: Path) -> CVAE:
    rows, validation = dataset.split("train"), dataset.split("val")
    with process_state().main_process_first():
        posteriors = cache_posteriors(autoencoder, rows, config, run / CACHE)
        validation_posteriors = cache_posteriors(autoencoder, validation, config, run / CACHE)
    statistics, labels = measure_statistics(posteriors), autoencoder.labels
    torch.manual_seed(config.prior_training.seed)
    prior = Prior(len(labels) + 1, config)
    model = CVAE(autoencoder.encoder, autoencoder.decoder, prior, statistics, labels)
    train(
        PriorTask(config, model, rows, posteriors, validation, validation_posteriors),
        config.prior_training,
        run / PRIOR,
    )
    if config.grain_training is None:
        return model
    torch.manual_seed(config.grain_training.seed)
    grain = build_grain(config).to(model.device)
    train(GrainTask(config, grain, autoencoder, rows, validation), config.grain_training, run / GRAIN)
    return replace(model, grain=grain)


def _save(networks: Mapping[str, nn.Module], folder: Path) -> None:
    for name, network in networks.items():
        weights_file(folder, name).parent.mkdir()
        save_model(network, str(weights_file(folder, name)))


def _half(network: Network) -> Network:
    return copy.deepcopy(network).cpu().half()


def export(
    config: CVAEConfig,
    model: CVAE,
    dataset: Dataset,
    folder: Path,
    steps: Mapping[str, int] = MappingProxyType({}),
    commit: str = "unknown",
    run: Path | None = None,
) -> Manifest:
    """Write the model as 16-bit safetensors with its manifest and model card; an older one is replaced at the end.

    Where the run's folder is given, a small copy of its log and previews goes along. No latent does.
    """
    with staged(folder) as place:
        if run is not None:
            export_history(run, place)
        encoder, decoder = _half(model.encoder), _half(model.decoder)
        grain = None if model.grain is None else _half(model.grain)
        networks = {"encoder": encoder, "decoder": decoder, "prior": _half(model.prior)}
        _save(networks if grain is None else {**networks, GRAIN: grain}, place)
        rounded = Autoencoder(encoder.float(), decoder.float(), model.labels)
        metrics = _metrics(config, rounded, None if grain is None else grain.float(), dataset)
        manifest = write_manifest(place, _manifest(config, model, metrics, dataset, steps, commit))
        write_card(place, manifest)
        load_engine(place, "cpu")  # what cannot be read back must not replace what can
    return manifest


def _metrics(config: CVAEConfig, rounded: Autoencoder, grain: Grain | None, dataset: Dataset) -> dict[str, Any]:
    """Of the 16-bit weights as shipped, on images that they did not learn from."""
    splits = {split: dataset.split(split) for split in ("val", "test")}
    metrics = {
        "reconstruction": {split: reconstruction_quality(rounded, rows, config.size) for split, rows in splits.items()}
    }
    if grain is not None:
        metrics[GRAIN] = {split: grain_quality(grain, rounded, rows, config.size) for split, rows in splits.items()}
    return metrics


def _manifest(
    config: CVAEConfig,
    model: CVAE,
    metrics: Mapping[str, Any],
    dataset: Dataset,
    steps: Mapping[str, int],
    commit: str,
) -> Manifest:
    _rows, settings = dataset.split("train"), config.prior
    return Manifest(
        family=config.family,
        name=config.name,
        config=dump(replace(config, network=config.shape)),  # as it is, whatever the table says later
        data=data_facts(dataset),
        steps=dict(steps),
        commit=commit,
        license=data_license(dataset),
        preprocessing={
            "size": config.size,
            "range": [-1.0, 1.0],
            "fit": "long side to size, mean of the edges around",
            **model.statistics.to_json(),
        },
        recommended=Recommendation(SCHEDULER, settings.num_inference_steps, settings.guidance_scale),
        sizes=(config.size,),
        schedulers=(SCHEDULER,),
        labels=model.labels,
        unconditional=config.is_unconditional,
        metrics=parse(Metrics, dict(metrics)),
    )
