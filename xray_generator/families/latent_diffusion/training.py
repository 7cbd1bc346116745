"""A run in stages (autoencoder, denoiser, decoder, few-step adapter) and the checkpoint that comes of it."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import cast

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from xray_generator.checkpoints import Manifest, Metrics, Quality, code_commit
from xray_generator.config import dump
from xray_generator.data.rewording import reword
from xray_generator.data.rows import Dataset, Row
from xray_generator.data.vocabulary import build_vocabulary
from xray_generator.devices import pick_device, process_state
from xray_generator.families.latent_diffusion.autoencoder_task import (
    autoencoder_task,
    is_native,
    native_rows,
    reconstruction_quality,
)
from xray_generator.families.latent_diffusion.card import describe
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig
from xray_generator.families.latent_diffusion.decoder_task import decoder_task
from xray_generator.families.latent_diffusion.denoiser_task import (
    DenoiserTask,
    cache_latents,
    cache_statistics,
    measure_statistics,
)
from xray_generator.families.latent_diffusion.detail_task import DetailTask, detail_quality
from xray_generator.families.latent_diffusion.engine import LatentDiffusionEngine, load_engine
from xray_generator.families.latent_diffusion.few_step_task import FewStepTask, save_student
from xray_generator.families.latent_diffusion.model import (
    FEW_STEP,
    REFINEMENT,
    LatentDiffusion,
    LatentStatistics,
    build_refinement,
    build_unet,
)
from xray_generator.families.latent_diffusion.text import LOADING, TextEncoder, build_text_encoder, public_name
from xray_generator.folders import staged
from xray_generator.nn.compact_autoencoder import CompactAutoencoder
from xray_generator.nn.diffusion import SCHEDULERS
from xray_generator.nn.refinement import Refinement
from xray_generator.training.loop import train
from xray_generator.training.release import data_facts, draft_manifest, half_precision, release
from xray_generator.types import Recommendation, RunOptions, StudioError

logger = logging.getLogger(__name__)

# the folders of the stages in a run
AUTOENCODER, DETAIL, DENOISER, DECODER = "autoencoder", "detail", "denoiser", "decoder"
WEIGHTS = "weights"  # of a finished network inside a run: run/autoencoder/weights
ENDS = ("conv_in", "conv_out")  # of the denoiser
LOG = "log.json"  # beside the weights of a denoiser that was trained elsewhere: steps and batch_size


def train_run(config: LatentDiffusionConfig, dataset: Dataset, options: RunOptions) -> Path:
    """Train what is left of all stages; return the checkpoint, or the autoencoder's folder for `autoencoder_only`.

    Only `train` is trained on; `val` and `test` are measured.

    Raises:
        StudioError: see `training.loop.train`; or no autoencoder in `autoencoder_from`.
    """
    run, commit = options.run, code_commit()  # of the code that runs, whatever changes on disk meanwhile
    config = _as_trained(config, run)
    stages, finished = _Run(config, dataset, run), run / AUTOENCODER / WEIGHTS
    is_finished = finished.is_dir()
    process_state().wait_for_everyone()  # every process has looked before one of them writes
    if not is_finished and options.autoencoder_from is not None:
        _save(load_autoencoder(options.autoencoder_from), finished)
    elif not is_finished:
        stages.train_autoencoder()
    if options.autoencoder_only:
        return finished
    autoencoder = load_autoencoder(finished)
    denoiser = stages.train_denoiser(autoencoder, stages.train_detail(autoencoder))
    model = stages.train_few_step(denoiser, stages.train_decoder(denoiser.model))
    if process_state().is_main_process:
        is_own = (run / AUTOENCODER / "states").is_dir()  # trained in this run, not taken from another
        trainings = {
            AUTOENCODER: config.autoencoder_training if is_own else None,
            DETAIL: config.detail_training,
            DENOISER: config.denoiser_training,
            DECODER: config.decoder_training,
            FEW_STEP: config.few_step_training,
        }
        steps = {name: stage.num_steps for name, stage in trainings.items() if stage is not None}
        export(config, model, dataset, options.checkpoint, steps, commit, run)
    return options.checkpoint


def _as_trained(config: LatentDiffusionConfig, run: Path) -> LatentDiffusionConfig:
    """The settings, with steps and batch size of a denoiser that was trained elsewhere."""
    log = run / DENOISER / WEIGHTS / LOG
    if not log.is_file():
        return config
    seen = json.loads(log.read_text(encoding="utf-8"))
    training = replace(config.denoiser_training, num_steps=seen["steps"], batch_size=seen["batch_size"])
    return replace(config, denoiser_training=training)


def load_autoencoder(folder: Path) -> CompactAutoencoder:
    """The autoencoder of a run, of a checkpoint, or of its own folder, in float32 on the CPU.

    Raises:
        StudioError: there is none.
    """
    for candidate in (folder / AUTOENCODER / WEIGHTS, folder / AUTOENCODER, folder):
        if (candidate / "diffusion_pytorch_model.safetensors").is_file():
            autoencoder = CompactAutoencoder.from_pretrained(candidate, **LOADING)
            autoencoder.register_to_config(_name_or_path="")  # a path of this machine has no place in a checkpoint
            return cast(CompactAutoencoder, autoencoder.float().to(memory_format=torch.channels_last))
    raise StudioError(f"{folder} holds no autoencoder. Train one with --train_vae_only, or give its run folder.")


def load_alike(network: nn.Module, other: nn.Module) -> None:
    """Take over another network's tensors of the same name; of another width the part that both have.

    First and last layers of another width are left alone: they belong to other latents.
    """
    own, found = network.state_dict(), other.state_dict()
    for name, value in own.items():
        if name in found and (found[name].shape == value.shape or not name.startswith(ENDS)):
            part = tuple(slice(min(sides)) for sides in zip(value.shape, found[name].shape, strict=True))
            value[part] = found[name][part].to(value)
    network.load_state_dict(own)


def begin_with(model: LatentDiffusion, config: LatentDiffusionConfig) -> None:
    """Give an untrained denoiser and its text encoder what fits of the checkpoint that training begins with."""
    if config.begin_with:
        load_alike(model.unet, load_unet(Path(config.begin_with) / "unet"))
        load_words(model.text_encoder, TextEncoder.load(Path(config.begin_with)))


def load_words(encoder: TextEncoder, other: TextEncoder) -> None:
    """Take over another text encoder's tensors, and the embedding of each word that both know."""
    if encoder.is_frozen or other.is_frozen:
        return
    embedding, words, known = encoder.words, encoder.tokenizer.get_vocab(), other.tokenizer.get_vocab()
    rows = embedding.weight.detach().clone()
    for word in words.keys() & known.keys():
        rows[words[word]] = other.words.weight[known[word]].detach()
    load_alike(encoder.transformer, other.transformer)
    embedding.load_state_dict({"weight": rows})


def _save(autoencoder: CompactAutoencoder, folder: Path) -> None:
    if process_state().is_main_process:
        with staged(folder) as place:  # `folder` is there only when it is whole
            autoencoder.save_pretrained(place)
    process_state().wait_for_everyone()


@dataclass(frozen=True, slots=True)
class _Run:
    """The stages of a run in a folder."""

    config: LatentDiffusionConfig
    dataset: Dataset
    folder: Path

    def train_autoencoder(self) -> None:
        config, rows = self.config, self.dataset.split("train")
        if not any(is_native(row, config.structure_size) for row in rows):
            logger.warning(
                "warning: no training image reaches %d pixels by itself; the autoencoder learns only from smaller "
                "ones, and generated images will be soft.",
                config.structure_size,
            )
        torch.manual_seed(config.autoencoder_training.seed)
        shape = config.autoencoder
        autoencoder = CompactAutoencoder(
            shape.channels, shape.encoder_blocks, shape.decoder_blocks, shape.latent_channels
        ).to(memory_format=torch.channels_last)
        if config.begin_with:
            load_alike(autoencoder, load_autoencoder(Path(config.begin_with)))
        task = autoencoder_task(config, autoencoder, rows, self.dataset.split("val"))
        train(task, config.autoencoder_training, self.folder / AUTOENCODER)
        _save(autoencoder, self.folder / AUTOENCODER / WEIGHTS)

    def train_detail(self, autoencoder: CompactAutoencoder) -> Refinement | None:
        config, training = self.config, self.config.detail_training
        if training is None:
            return None
        torch.manual_seed(training.seed)
        refinement, device = build_refinement(config.detail), pick_device()
        rows, validation = (native_rows(self.dataset.split(name), config.image_size) for name in ("train", "val"))
        task = DetailTask(config, refinement, autoencoder.to(device), rows, validation)
        task.measure_residual()
        train(task, training, self.folder / DETAIL)
        return refinement.eval().requires_grad_(requires_grad=False)

    def train_denoiser(self, autoencoder: CompactAutoencoder, refinement: Refinement | None) -> DenoiserTask:
        config, device, size = self.config, pick_device(), self.config.structure_size
        channels, own_channels = config.autoencoder.latent_channels, autoencoder.config.latent_channels
        if own_channels != channels:
            raise StudioError(
                f"The autoencoder has {own_channels} latent channels, the configuration {channels}; set "
                "autoencoder.latent_channels to match."
            )
        autoencoder = autoencoder.to(device).eval().requires_grad_(requires_grad=False)
        rows, validation = (native_rows(self.dataset.split(name), size) for name in ("train", "val"))
        with process_state().main_process_first():
            latents = cache_latents(autoencoder, rows, size, self.folder / "cache")
            validation_latents = cache_latents(autoencoder, validation, size, self.folder / "cache")
            statistics = cache_statistics(latents, config.unet.fold)
        model = replace(build_denoiser(config, autoencoder, latents, rows, statistics), refinement=refinement)
        model = replace(model, detail_steps=config.detail.num_inference_steps)
        begin_with(model, config)
        given = self.folder / DENOISER / WEIGHTS
        if given.is_dir():  # trained elsewhere, see `packed`
            model = replace(model, unet=load_unet(given / "unet"), text_encoder=TextEncoder.load(given))
        task = DenoiserTask(config, model, rows, latents, validation, validation_latents)
        if not given.is_dir():
            train(task, config.denoiser_training, self.folder / DENOISER)
        return task

    def train_decoder(self, model: LatentDiffusion) -> LatentDiffusion:
        training = self.config.decoder_training
        if training is None:
            return model
        torch.manual_seed(training.seed)
        autoencoder = copy.deepcopy(model.autoencoder)
        task = decoder_task(self.config, autoencoder, self.dataset.split("train"), self.dataset.split("val"))
        train(task, training, self.folder / DECODER)
        return replace(model, autoencoder=autoencoder.eval().requires_grad_(requires_grad=False))

    def train_few_step(self, denoiser: DenoiserTask, model: LatentDiffusion) -> LatentDiffusion:
        training = self.config.few_step_training
        if training is None:
            return model
        torch.manual_seed(training.seed)
        task = FewStepTask(denoiser)
        train(task, training, self.folder / FEW_STEP)
        return replace(model, few_step_unet=task.student)


def build_denoiser(
    config: LatentDiffusionConfig,
    autoencoder: CompactAutoencoder | None,
    latents: NDArray[np.float16],
    rows: Sequence[Row],
    statistics: LatentStatistics | None = None,
) -> LatentDiffusion:
    """An untrained denoiser and its text encoder, for the latents of some rows; drawing needs an autoencoder."""
    torch.manual_seed(config.denoiser_training.seed)
    side, text = latents.shape[-1] // config.unet.fold, config.text_encoder
    unet = build_unet(config.unet, config.autoencoder.latent_channels, side, text.embedding_size)
    wordings = [wording for row in rows for wording in reword(row, config.caption_variants)]
    return LatentDiffusion(
        cast(CompactAutoencoder, autoencoder),
        unet.to(memory_format=torch.channels_last),
        build_text_encoder(text, wordings),
        statistics or measure_statistics(latents, config.unet.fold),
        config.schedule,
        config.image_size,
    )


def load_unet(folder: Path) -> UNet2DConditionModel:
    """The denoiser of a folder, in float32 on the CPU, in the memory layout of training."""
    unet = UNet2DConditionModel.from_pretrained(folder, **LOADING)
    unet.register_to_config(_name_or_path="")
    return unet.float().to(memory_format=torch.channels_last)


def export(
    config: LatentDiffusionConfig,
    model: LatentDiffusion,
    dataset: Dataset,
    folder: Path,
    steps: Mapping[str, int] = MappingProxyType({}),
    commit: str = "unknown",
    run: Path | None = None,
) -> Manifest:
    """Release the model, see `training.release.release`; the autoencoder is measured on `val` and `test`."""
    pretrained, size = config.text_encoder.name_or_path, config.image_size
    config = replace(config, text_encoder=replace(config.text_encoder, name_or_path=public_name(pretrained)))
    few_steps = {} if model.few_step_unet is None else {FEW_STEP: config.few_step.num_steps}
    rows, schedule = dataset.split("train"), config.schedule

    def save(place: Path) -> None:
        half_precision(model.autoencoder).save_pretrained(place / "autoencoder")
        half_precision(model.unet).save_pretrained(place / "unet")
        half_precision(model.text_encoder).save(place)
        if model.refinement is not None:
            (place / REFINEMENT).mkdir()
            weights = half_precision(model.refinement).state_dict()
            packed = {name: value.contiguous() for name, value in weights.items()}
            save_file(packed, place / REFINEMENT / "model.safetensors")
        if model.few_step_unet is not None:
            save_student(model.few_step_unet, place / FEW_STEP)

    def measure(engine: LatentDiffusionEngine) -> Metrics:
        quality = {
            split: _reconstruction(engine.model, native_rows(dataset.split(split), size), config)
            for split in ("val", "test")
        }
        return Metrics(reconstruction={split: one for split, one in quality.items() if one is not None})

    manifest = draft_manifest(
        config,
        dataset,
        steps,
        commit,
        data=replace(data_facts(dataset), num_full_resolution=sum(is_native(row, size) for row in rows)),
        preprocessing={
            "size": size,
            "range": [-1.0, 1.0],
            "reads_facts": True,
            "fit": "short side to size, center crop",
            **model.statistics.to_json(),
        },
        recommended=Recommendation(schedule.scheduler, schedule.num_inference_steps, schedule.guidance_scale),
        sizes=(size,),
        vocabulary=dump(build_vocabulary(rows, config.caption_variants)),
        schedulers=(*SCHEDULERS, *few_steps),
        few_steps=few_steps,
    )
    return release(folder, manifest, save, partial(load_engine, pretrained=pretrained), measure, describe, run)


def _reconstruction(model: LatentDiffusion, rows: Sequence[Row], config: LatentDiffusionConfig) -> Quality | None:
    """How well the autoencoder, and the detail where it is drawn, give real images back."""
    if model.refinement is None:
        return reconstruction_quality(model.autoencoder, rows, config.image_size)
    return detail_quality(model.autoencoder, model.refinement, rows, config)
