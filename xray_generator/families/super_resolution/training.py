"""A run of one stage, and the checkpoint that comes of it."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from safetensors.torch import save_model

from xray_generator.checkpoints import Manifest, Metrics, code_commit, staged, write_manifest
from xray_generator.config import dump, parse
from xray_generator.data.captioned import large_rows
from xray_generator.data.rows import Dataset
from xray_generator.devices import process_state
from xray_generator.families.super_resolution.card import write_card
from xray_generator.families.super_resolution.config import SuperResolutionConfig
from xray_generator.families.super_resolution.engine import WEIGHTS, load_engine
from xray_generator.families.super_resolution.model import SuperResolution, build_network
from xray_generator.families.super_resolution.task import (
    Crops,
    SuperResolutionTask,
    enlargement_quality,
    measure_statistics,
)
from xray_generator.training.history import export_history
from xray_generator.training.loop import train
from xray_generator.training.release import data_facts, data_license
from xray_generator.types import Recommendation, RunOptions, StudioError

STAGE = "flow"


def train_run(config: SuperResolutionConfig, dataset: Dataset, options: RunOptions) -> Path:
    """Train what is left in folder `run` and return the checkpoint.

    Args:
        config: the run's settings.
        dataset: rows; those whose film reaches `film_size` are used: `train` is trained on, `val` and `test` measured.
        run: states, log and previews; a run found there is resumed.
        checkpoint: where the finished model goes.

    Raises:
        StudioError: no training film is large enough; or see `training.loop.train`.
    """
    run, checkpoint = options.run, options.checkpoint
    commit = code_commit()  # of the code that runs, whatever changes on disk meanwhile
    size = config.film_size
    films = Dataset(tuple(large_rows(dataset.rows, size)))
    rows = films.split("train")
    if not rows:
        raise StudioError(
            f"No training image reaches {size}x{size} pixels. Super-resolution learns from large films: put them into "
            "images512/ beside images/ by the same names, or lower film_size."
        )
    torch.manual_seed(config.training.seed)
    network = build_network(config.network)
    statistics = measure_statistics(Crops(rows, config), config.training.seed)
    model = SuperResolution(network, statistics)
    train(SuperResolutionTask(config, model, rows, films.split("val")), config.training, run / STAGE)
    if process_state().is_main_process:
        export(config, model, films, checkpoint, commit, run)
    return checkpoint


def export(
    config: SuperResolutionConfig,
    model: SuperResolution,
    films: Dataset,
    folder: Path,
    commit: str = "unknown",
    run: Path | None = None,
) -> Manifest:
    """Write the model as 16-bit safetensors with its manifest and model card; an older one is replaced at the end.

    Where the run's folder is given, a small copy of its log and previews goes along.
    """
    with staged(folder) as place:
        if run is not None:
            export_history(run, place)
        network = copy.deepcopy(model.network).cpu().half()
        (place / WEIGHTS).parent.mkdir()
        save_model(network, str(place / WEIGHTS))
        rounded = SuperResolution(network.float(), model.statistics)
        manifest = write_manifest(place, _manifest(config, rounded, films, commit))
        write_card(place, manifest)
        load_engine(place, "cpu")  # what cannot be read back must not replace what can
    return manifest


def _manifest(config: SuperResolutionConfig, model: SuperResolution, films: Dataset, commit: str) -> Manifest:
    films.split("train")
    return Manifest(
        family=config.family,
        name=config.name,
        config=dump(config),
        data=data_facts(films),
        steps={STAGE: config.training.num_steps},
        commit=commit,
        license=data_license(films),
        preprocessing={
            "size": config.film_size,
            "range": [-1.0, 1.0],
            "fit": "bicubic to the wanted size",
            **model.statistics.to_json(),
        },
        recommended=Recommendation("euler", config.num_inference_steps, 1.0),
        sizes=config.sizes,
        schedulers=("euler",),
        modality=config.modality,
        metrics=parse(
            Metrics,
            {
                "enlargement": {
                    split: enlargement_quality(model, films.split(split), config.film_size) for split in ("val", "test")
                }
            },
        ),
    )
