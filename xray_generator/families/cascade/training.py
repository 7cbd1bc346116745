"""A run of training, stage by stage, and the release of its checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_model

from xray_generator.checkpoints import Manifest, Metrics, Quality, code_commit
from xray_generator.data.captioned import large_rows
from xray_generator.data.rows import Dataset, Row, Split, repeat_rare, require_classes
from xray_generator.devices import process_state
from xray_generator.families.cascade.base_task import BaseTask
from xray_generator.families.cascade.card import describe
from xray_generator.families.cascade.config import CascadeConfig, Stage
from xray_generator.families.cascade.engine import WEIGHTS, CascadeEngine, load_engine
from xray_generator.families.cascade.model import BASE, Base, Cascade
from xray_generator.nn.diffusion import SCHEDULERS
from xray_generator.nn.enlarger import build_enlarger
from xray_generator.nn.residual_flow import ResidualFlow
from xray_generator.training.enlarging import Crops, EnlargingTask, measure_enlargement, measure_statistics
from xray_generator.training.loop import train
from xray_generator.training.release import draft_manifest, half_precision, release
from xray_generator.types import Recommendation, RunOptions, StudioError

MEASURED: tuple[Split, ...] = ("val", "test")


def train_run(config: CascadeConfig, dataset: Dataset, options: RunOptions) -> Path:
    """Train what is left of a run and return the checkpoint; `train` is trained on, `val` and `test` are measured.

    Each stage that enlarges learns from images that reach its side by themselves.

    Raises:
        StudioError: a class of the settings has no training image, or no image is large enough for a stage; or see
            `training.loop.train`.
    """
    run, commit = options.run, code_commit()  # of the code that runs, whatever changes on disk meanwhile
    rows = dataset.split("train")
    require_classes(rows, config.labels)
    large = {stage.name: _large(rows, stage) for stage in config.stages}  # refused before hours of training
    torch.manual_seed(config.base_training.seed)
    base = Base.build(config)
    repeated = repeat_rare(rows, rows, config.base.repeats)
    train(BaseTask(base, repeated, dataset.split("val")), config.base_training, run / BASE)
    flows = {}
    for stage in config.stages:
        seen = large[stage.name]
        torch.manual_seed(stage.training.seed)
        network = build_enlarger(stage.config.network)
        flow = ResidualFlow(network, measure_statistics(Crops(seen, stage.config), stage.training.seed))
        validation = large_rows(dataset.split("val"), stage.config.image_size)
        train(EnlargingTask(stage.config, flow, seen, validation), stage.training, run / stage.name)
        flows[stage.name] = flow
    if process_state().is_main_process:
        export(config, Cascade(base, flows), dataset, options.checkpoint, commit, run)
    return options.checkpoint


def _large(rows: Sequence[Row], stage: Stage) -> Sequence[Row]:
    size = stage.config.image_size
    found = large_rows(rows, size)
    if not found:
        raise StudioError(
            f"No training image reaches {size}x{size} pixels, which {stage.name} learns to draw. Lower its image_size."
        )
    return found


def export(
    config: CascadeConfig,
    model: Cascade,
    dataset: Dataset,
    folder: Path,
    commit: str = "unknown",
    run: Path | None = None,
) -> Manifest:
    """Release the model, see `training.release.release`; its stages are measured on images it did not learn from."""

    def save(place: Path) -> None:
        for name, network in model.networks().items():
            (place / name).mkdir()
            save_model(half_precision(network), str(place / name / WEIGHTS))

    def measure(engine: CascadeEngine) -> Metrics:
        return Metrics(enlargement=dict(_measure_stages(engine, dataset)))

    steps = {BASE: config.base_training.num_steps, **{name: s.num_steps for name, _, s in config.stages}}
    manifest = draft_manifest(
        config,
        dataset,
        steps,
        commit,
        preprocessing={
            "size": config.sizes[0],
            "range": [-1.0, 1.0],
            "fit": "short side to the size, center crop",
            **{name: flow.statistics.to_json() for name, flow in model.flows.items()},
        },
        recommended=Recommendation(
            config.base.scheduler, config.base.num_inference_steps, config.base.guidance_scale if config.labels else 1.0
        ),
        sizes=config.sizes,
        schedulers=tuple(SCHEDULERS),
        modality=config.modality,
        labels=config.labels,
        unconditional=True,
    )
    return release(folder, manifest, save, load_engine, measure, describe, run)


def _measure_stages(engine: CascadeEngine, dataset: Dataset) -> list[tuple[str, Quality]]:
    """The quality of every stage on each measured split, by names such as "sr1, val"."""
    found = []
    for stage in engine.config.stages:
        size = stage.config.image_size
        for split in MEASURED:
            rows = large_rows(dataset.split(split), size)
            quality = measure_enlargement(engine.model.flows[stage.name], rows, size)
            if quality is not None:
                found.append((f"{stage.name}, {split}", quality))
    return found
