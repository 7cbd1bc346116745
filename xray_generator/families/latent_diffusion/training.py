"""A run in stages (autoencoder, denoiser, decoder, few-step adapter) and the checkpoint that comes of it."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import torch

from xray_generator.checkpoints import Manifest, Metrics, code_commit, staged, write_manifest
from xray_generator.config import dump, parse
from xray_generator.data.rows import Dataset
from xray_generator.data.vocabulary import build_vocabulary
from xray_generator.devices import pick_device, process_state
from xray_generator.families.latent_diffusion.autoencoder_task import (
    AutoencoderTask,
    is_native,
    native_rows,
    reconstruction_quality,
)
from xray_generator.families.latent_diffusion.card import write_card
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig
from xray_generator.families.latent_diffusion.decoder_task import DecoderTask
from xray_generator.families.latent_diffusion.denoiser_task import DenoiserTask, cache_latents, cache_statistics
from xray_generator.families.latent_diffusion.few_step import FewStepTask, save_adapter
from xray_generator.families.latent_diffusion.loading import load_engine
from xray_generator.families.latent_diffusion.model import FEW_STEP, SCHEDULERS, LatentDiffusion, build_unet
from xray_generator.families.latent_diffusion.text import LOADING, TextEncoder, build_text_encoder, public_name
from xray_generator.nn.compact_autoencoder import CompactAutoencoder
from xray_generator.training.history import export_history
from xray_generator.training.loop import train
from xray_generator.training.release import data_facts, data_license
from xray_generator.types import Recommendation, RunOptions, StudioError

logger = logging.getLogger(__name__)

WEIGHTS = "weights"  # the finished autoencoder inside a run: run/autoencoder/weights


def train_run(config: LatentDiffusionConfig, dataset: Dataset, options: RunOptions) -> Path:
    """Train what is left of all stages in folder `run`; return the checkpoint (or the autoencoder's folder).

    Args:
        config: the run's settings.
        dataset: rows; only `train` is trained on, `val` is measured.
        run: states, logs and caches; a run found there is resumed.
        checkpoint: where the finished model goes.
        autoencoder_from: a run, checkpoint or autoencoder folder whose autoencoder replaces stage 1.
        autoencoder_only: stop after stage 1.

    Raises:
        StudioError: see `training.loop.train`; or no autoencoder in `autoencoder_from`.
    """
    run, checkpoint = options.run, options.checkpoint
    commit = code_commit()  # of the code that runs, whatever changes on disk meanwhile
    finished = run / "autoencoder" / WEIGHTS
    is_finished = finished.is_dir()
    process_state().wait_for_everyone()  # every process has looked before one of them writes
    if not is_finished and options.autoencoder_from is not None:
        _save(load_autoencoder(options.autoencoder_from), finished)
    elif not is_finished:
        _train_autoencoder(config, dataset, run)
    if options.autoencoder_only:
        return finished
    task = _train_denoiser(config, dataset, run, load_autoencoder(finished))
    model = _train_decoder(config, task.model, dataset, run)
    student = _train_few_step(config, task, run)
    if process_state().is_main_process:
        steps = {"denoiser": config.denoiser_training.num_steps}
        if (run / "autoencoder" / "states").is_dir():  # trained in this run, not taken from another
            steps["autoencoder"] = config.autoencoder_training.num_steps
        for stage, training in (("decoder", config.decoder_training), (FEW_STEP, config.few_step_training)):
            if training is not None:
                steps[stage] = training.num_steps
        export(config, replace(model, few_step_unet=student), dataset, checkpoint, steps, commit, run)
    return checkpoint


def load_autoencoder(folder: Path) -> CompactAutoencoder:
    """The autoencoder of a run, of a checkpoint, or of its own folder, in float32 on the CPU.

    Raises:
        StudioError: there is none.
    """
    for candidate in (folder / "autoencoder" / WEIGHTS, folder / "autoencoder", folder):
        if (candidate / "diffusion_pytorch_model.safetensors").is_file():
            autoencoder = CompactAutoencoder.from_pretrained(candidate, **LOADING)
            autoencoder.register_to_config(_name_or_path="")  # a path of this machine has no place in a checkpoint
            return cast(CompactAutoencoder, autoencoder.float().to(memory_format=torch.channels_last))
    raise StudioError(f"{folder} holds no autoencoder. Train one with --train_vae_only, or give its run folder.")


def _save(autoencoder: CompactAutoencoder, folder: Path) -> None:
    if process_state().is_main_process:
        with staged(folder) as place:  # `folder` is there only when it is whole
            autoencoder.save_pretrained(place)
    process_state().wait_for_everyone()


def _train_autoencoder(config: LatentDiffusionConfig, dataset: Dataset, run: Path) -> None:
    if not any(is_native(row, config.image_size) for row in dataset.split("train")):
        logger.warning(
            "warning: no training image reaches %d pixels by itself; the autoencoder learns from smaller ones alone, "
            "and what the model draws will be soft.",
            config.image_size,
        )
    torch.manual_seed(config.autoencoder_training.seed)
    shape = config.autoencoder
    autoencoder = CompactAutoencoder(
        shape.channels, shape.encoder_blocks, shape.decoder_blocks, shape.latent_channels
    ).to(memory_format=torch.channels_last)
    task = AutoencoderTask(config, autoencoder, dataset.split("train"), dataset.split("val"))
    train(task, config.autoencoder_training, run / "autoencoder")
    _save(autoencoder, run / "autoencoder" / WEIGHTS)


def _train_denoiser(
    config: LatentDiffusionConfig, dataset: Dataset, run: Path, autoencoder: CompactAutoencoder
) -> DenoiserTask:
    device, size = pick_device(), config.image_size
    if autoencoder.config.latent_channels != config.autoencoder.latent_channels:
        raise StudioError(
            f"The autoencoder has {autoencoder.config.latent_channels} latent channels, the configuration "
            f"{config.autoencoder.latent_channels}; set autoencoder.latent_channels to match."
        )
    autoencoder = autoencoder.to(device).eval().requires_grad_(requires_grad=False)
    rows, validation = dataset.split("train"), dataset.split("val")
    with process_state().main_process_first():
        latents = cache_latents(autoencoder, rows, size, run / "cache")
        validation_latents = cache_latents(autoencoder, validation, size, run / "cache")
        statistics = cache_statistics(latents, config.unet.fold)
    torch.manual_seed(config.denoiser_training.seed)
    channels, latent_size = config.autoencoder.latent_channels, size // 8 // config.unet.fold
    unet = build_unet(config.unet, channels, latent_size, config.text_encoder.embedding_size)
    text_encoder = build_text_encoder(config.text_encoder, [row.prompt for row in rows])
    model = LatentDiffusion(
        autoencoder, unet.to(memory_format=torch.channels_last), text_encoder, statistics, config.schedule, size
    )
    task = DenoiserTask(config, model, rows, latents, validation, validation_latents)
    train(task, config.denoiser_training, run / "denoiser")
    return task


def _train_decoder(
    config: LatentDiffusionConfig, model: LatentDiffusion, dataset: Dataset, run: Path
) -> LatentDiffusion:
    if config.decoder_training is None:
        return model
    torch.manual_seed(config.decoder_training.seed)
    autoencoder = copy.deepcopy(model.autoencoder)
    task = DecoderTask(config, autoencoder, dataset.split("train"), dataset.split("val"))
    train(task, config.decoder_training, run / "decoder")
    return replace(model, autoencoder=autoencoder.eval().requires_grad_(requires_grad=False))


def _train_few_step(config: LatentDiffusionConfig, denoiser: DenoiserTask, run: Path) -> Any:  # noqa: ANN401
    """The denoiser with its trained adapter; None where none is asked for."""
    if config.few_step_training is None:
        return None
    torch.manual_seed(config.few_step_training.seed)
    task = FewStepTask(denoiser.model, config.few_step, denoiser.training, denoiser.prompts, denoiser.validation)
    train(task, config.few_step_training, run / FEW_STEP)
    return task.student


def export(
    config: LatentDiffusionConfig,
    model: LatentDiffusion,
    dataset: Dataset,
    folder: Path,
    steps: Mapping[str, int] = MappingProxyType({}),
    commit: str = "unknown",
    run: Path | None = None,
) -> Manifest:
    """Write the model as 16-bit safetensors with its manifest and model card; an older one is replaced at the end.

    Where the run's folder is given, a small copy of its log and previews goes along.
    """
    with staged(folder) as place:
        if run is not None:
            export_history(run, place)
        manifest = _export(config, model, dataset, place, steps, commit)
        load_engine(place, "cpu", config.text_encoder.name_or_path)  # what cannot be read must not replace what can
    return manifest


def _export(
    config: LatentDiffusionConfig,
    model: LatentDiffusion,
    dataset: Dataset,
    folder: Path,
    steps: Mapping[str, int],
    commit: str,
) -> Manifest:
    text = replace(config.text_encoder, name_or_path=public_name(config.text_encoder.name_or_path))
    config = replace(config, text_encoder=text)
    autoencoder = _half(model.autoencoder)
    autoencoder.save_pretrained(folder / "autoencoder")
    _half(model.unet).save_pretrained(folder / "unet")
    if model.few_step_unet is not None:
        save_adapter(_half(model.few_step_unet), folder / FEW_STEP)
    encoder = model.text_encoder
    TextEncoder(
        _half(encoder.transformer),
        encoder.tokenizer,
        encoder.max_length,
        None if encoder.projection is None else _half(encoder.projection),
    ).save(folder)
    few_steps = {} if model.few_step_unet is None else {FEW_STEP: config.few_step.num_steps}
    rows, size = dataset.split("train"), config.image_size
    reconstruction = {  # of the 16-bit weights as shipped, on unseen images of full resolution
        split: reconstruction_quality(autoencoder.float(), native_rows(dataset.split(split), size), size)
        for split in ("val", "test")
    }
    manifest = Manifest(
        family=config.family,
        name=config.name,
        config=dump(config),
        data=replace(data_facts(dataset), num_full_resolution=sum(is_native(row, size) for row in rows)),
        steps=dict(steps),
        commit=commit,
        license=data_license(dataset),
        preprocessing={
            "size": config.image_size,
            "range": [-1.0, 1.0],
            "fit": "short side to size, center crop",
            **model.statistics.to_json(),
        },
        recommended=Recommendation(
            config.schedule.scheduler, config.schedule.num_inference_steps, config.schedule.guidance_scale
        ),
        sizes=(config.image_size,),
        vocabulary=dump(build_vocabulary(rows)),
        metrics=parse(Metrics, {"autoencoder_reconstruction": reconstruction}),
        schedulers=(*SCHEDULERS, *few_steps),
        few_steps=few_steps,
    )
    manifest = write_manifest(folder, manifest)
    write_card(folder, manifest)
    return manifest


def _half(module: Any) -> Any:  # noqa: ANN401 - diffusers and transformers models share no typed base
    return copy.deepcopy(module).cpu().half()
