"""The stages of a run, and the release of its checkpoint: encoder, decoder, prior and grain, never a latent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors.torch import load_model, save_model
from torch import nn

from xray_generator.checkpoints import Manifest, Metrics, Quality, code_commit, freeze
from xray_generator.data.rows import Dataset, class_names
from xray_generator.devices import pick_device, process_state
from xray_generator.families.cvae.autoencoder import Autoencoder
from xray_generator.families.cvae.autoencoder_task import AutoencoderTask, measure_reconstruction
from xray_generator.families.cvae.card import describe
from xray_generator.families.cvae.config import CVAEConfig
from xray_generator.families.cvae.engine import SCHEDULER, CVAEEngine, load_engine, weights_file
from xray_generator.families.cvae.grain_task import GrainTask, measure_grain
from xray_generator.families.cvae.model import CVAE, Prior, build_grain, measure_statistics
from xray_generator.families.cvae.prior_task import LatentRows, PriorTask, cache_posteriors
from xray_generator.folders import staged
from xray_generator.training.loop import train
from xray_generator.training.release import draft_manifest, half_precision, release
from xray_generator.types import Recommendation, RunOptions, StudioError

AUTOENCODER, PRIOR, GRAIN, WEIGHTS, CACHE = "autoencoder", "prior", "grain", "weights", "cache"  # folders of a run


def train_run(config: CVAEConfig, dataset: Dataset, options: RunOptions) -> Path:
    """Train what is left of the stages of a run; return the checkpoint (or the autoencoder's folder).

    Only rows with a class are used: `train` is trained on, `val` and `test` are measured.

    Raises:
        StudioError: no training image has a class; or see `training.loop.train`.
    """
    run, commit = options.run, code_commit()  # of the code that runs, whatever changes on disk meanwhile
    labels = class_names(dataset.split("train"))
    if not labels:
        raise StudioError(
            "No training image has a class. Name it in the column `label` of metadata.csv, or keep a folder a class."
        )
    dataset = Dataset(tuple(row for row in dataset.rows if row.label in labels), dataset.skipped)
    autoencoder = _train_autoencoder(config, dataset, labels, run)
    if options.autoencoder_only:
        return run / AUTOENCODER / WEIGHTS
    model = _train_grain(config, dataset, _train_prior(config, dataset, autoencoder, run), run)
    if process_state().is_main_process:
        stages = {AUTOENCODER: config.autoencoder_training, PRIOR: config.prior_training, GRAIN: config.grain_training}
        steps = {name: stage.num_steps for name, stage in stages.items() if stage is not None}
        export(config, model, dataset, options.checkpoint, steps, commit, run)
    return options.checkpoint


def _train_autoencoder(config: CVAEConfig, dataset: Dataset, labels: tuple[str, ...], run: Path) -> Autoencoder:
    """In float32 on the device, frozen; trained unless the run holds its weights."""
    torch.manual_seed(config.autoencoder_training.seed)
    autoencoder = Autoencoder.build(config, labels)
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
        freeze(network, pick_device())
    return autoencoder


def _train_prior(config: CVAEConfig, dataset: Dataset, autoencoder: Autoencoder, run: Path) -> CVAE:
    labels, splits = autoencoder.labels, (dataset.split("train"), dataset.split("val"))
    with process_state().main_process_first():
        posteriors = [cache_posteriors(autoencoder, rows, config, run / CACHE) for rows in splits]
    statistics = measure_statistics(posteriors[0])
    torch.manual_seed(config.prior_training.seed)
    model = CVAE(autoencoder, Prior(len(labels) + 1, config), statistics)
    latents = [LatentRows(*pair, statistics, labels, config) for pair in zip(posteriors, splits, strict=True)]
    train(PriorTask(config, model, *latents), config.prior_training, run / PRIOR)
    return model


def _train_grain(config: CVAEConfig, dataset: Dataset, model: CVAE, run: Path) -> CVAE:
    if config.grain_training is None:
        return model
    torch.manual_seed(config.grain_training.seed)
    grain = build_grain(config).to(model.autoencoder.device)
    task = GrainTask(config, grain, model.autoencoder, dataset.split("train"), dataset.split("val"))
    train(task, config.grain_training, run / GRAIN)
    return replace(model, grain=grain)


def _save(networks: Mapping[str, nn.Module], folder: Path) -> None:
    for name, network in networks.items():
        weights_file(folder, name).parent.mkdir()
        save_model(network, str(weights_file(folder, name)))


def export(
    config: CVAEConfig,
    model: CVAE,
    dataset: Dataset,
    folder: Path,
    steps: Mapping[str, int] = MappingProxyType({}),
    commit: str = "unknown",
    run: Path | None = None,
) -> Manifest:
    """Release the model, see `training.release.release`; it is measured on images that it did not learn from."""

    def save(place: Path) -> None:
        _save({name: half_precision(network) for name, network in model.networks().items()}, place)

    def measure(engine: CVAEEngine) -> Metrics:
        reconstruction: dict[str, Quality] = {}
        grain: dict[str, Quality] = {}
        for split in ("val", "test"):
            rows, released = dataset.split(split), engine.model
            if found := measure_reconstruction(released.autoencoder, rows, config.size):
                reconstruction[split] = found
            if released.grain and (found := measure_grain(released.grain, released.autoencoder, rows, config.size)):
                grain[split] = found
        return Metrics(reconstruction=reconstruction, grain=grain)

    manifest = draft_manifest(
        replace(config, network=config.shape),  # as it is, whatever the table says later
        dataset,
        steps,
        commit,
        preprocessing={
            "size": config.size,
            "range": [-1.0, 1.0],
            "fit": "long side to size, mean of the edges around",
            **model.statistics.to_json(),
        },
        recommended=Recommendation(SCHEDULER, config.prior.num_inference_steps, config.prior.guidance_scale),
        sizes=(config.size,),
        schedulers=(SCHEDULER,),
        labels=model.autoencoder.labels,
        unconditional=config.prior.class_dropout > 0,
    )
    return release(folder, manifest, save, load_engine, measure, describe, run)
