"""A run of training, and the release of its checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_model

from xray_generator.checkpoints import Manifest, Metrics, code_commit
from xray_generator.data.captioned import large_rows
from xray_generator.data.rows import Dataset, Split
from xray_generator.devices import process_state
from xray_generator.families.super_resolution.card import describe
from xray_generator.families.super_resolution.config import SuperResolutionConfig
from xray_generator.families.super_resolution.engine import WEIGHTS, SuperResolutionEngine, load_engine
from xray_generator.nn.enlarger import build_enlarger
from xray_generator.nn.residual_flow import SOLVER, ResidualFlow
from xray_generator.training.enlarging import Crops, EnlargingTask, measure_enlargement, measure_statistics
from xray_generator.training.loop import train
from xray_generator.training.release import draft_manifest, half_precision, release
from xray_generator.types import Recommendation, RunOptions, StudioError

STAGE = "flow"
MEASURED: tuple[Split, ...] = ("val", "test")


def train_run(config: SuperResolutionConfig, dataset: Dataset, options: RunOptions) -> Path:
    """Train what is left of a run and return the checkpoint; `train` is trained on, `val` and `test` are measured.

    Only rows whose image reaches `image_size` are used.

    Raises:
        StudioError: no training image is large enough; or see `training.loop.train`.
    """
    run, commit = options.run, code_commit()  # of the code that runs, whatever changes on disk meanwhile
    size = config.image_size
    large = Dataset(tuple(large_rows(dataset.rows, size)))
    rows = large.split("train")
    if not rows:
        raise StudioError(
            f"No training image reaches {size}x{size} pixels. Super-resolution learns from large images: put them into "
            "images512/ beside images/ by the same names, or lower image_size."
        )
    torch.manual_seed(config.training.seed)
    network = build_enlarger(config.network)
    model = ResidualFlow(network, measure_statistics(Crops(rows, config), config.training.seed))
    train(EnlargingTask(config, model, rows, large.split("val")), config.training, run / STAGE)
    if process_state().is_main_process:
        export(config, model, large, options.checkpoint, commit, run)
    return options.checkpoint


def export(
    config: SuperResolutionConfig,
    model: ResidualFlow,
    dataset: Dataset,
    folder: Path,
    commit: str = "unknown",
    run: Path | None = None,
) -> Manifest:
    """Release the model, see `training.release.release`; it is measured on images that it did not learn from."""

    def save(place: Path) -> None:
        (place / WEIGHTS).parent.mkdir()
        save_model(half_precision(model.network), str(place / WEIGHTS))

    def measure(engine: SuperResolutionEngine) -> Metrics:
        splits = {name: measure_enlargement(engine.model, dataset.split(name), config.image_size) for name in MEASURED}
        return Metrics(enlargement={name: quality for name, quality in splits.items() if quality is not None})

    manifest = draft_manifest(
        config,
        dataset,
        {STAGE: config.training.num_steps},
        commit,
        preprocessing={
            "size": config.image_size,
            "range": [-1.0, 1.0],
            "fit": "bicubic to the wanted size",
            **model.statistics.to_json(),
        },
        recommended=Recommendation(SOLVER, config.num_inference_steps, 1.0),
        sizes=config.sizes,
        schedulers=(SOLVER,),
        modality=config.modality,
    )
    return release(folder, manifest, save, load_engine, measure, describe, run)
