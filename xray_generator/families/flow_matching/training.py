"""A run, and the checkpoint that comes of it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xray_generator.checkpoints import Manifest, code_commit, staged, write_manifest
from xray_generator.config import dump
from xray_generator.data.rows import Dataset, Row, class_names, evenly, repeat_rare
from xray_generator.devices import process_state, seeded_generators
from xray_generator.families.flow_matching.card import write_card
from xray_generator.families.flow_matching.config import FlowMatchingConfig
from xray_generator.families.flow_matching.engine import COMPONENT, FlowMatchingEngine, load_engine
from xray_generator.families.flow_matching.model import FlowMatching
from xray_generator.families.flow_matching.task import FlowMatchingTask
from xray_generator.images import resize_square
from xray_generator.training.history import export_history
from xray_generator.training.loop import train
from xray_generator.types import StudioError

STAGE = "flow"
NUM_BINS = 64  # of the histogram of gray levels


def train_run(config: FlowMatchingConfig, dataset: Dataset, run: Path, checkpoint: Path) -> Path:
    """Train what is left in folder `run` and return the checkpoint.

    Args:
        config: the run's settings.
        dataset: `train` is trained on, `val` and `test` measured.
        run: states, log and previews; a run found there is resumed.
        checkpoint: where the finished model goes.

    Raises:
        StudioError: a class of the settings has no training image; or see `training.loop.train`.
    """
    commit = code_commit()  # of the code that runs, whatever changes on disk meanwhile
    dataset = Dataset(tuple(_seen(row, config) for row in dataset.rows), dataset.skipped)
    rows = dataset.split("train")
    if missing := set(config.labels) - set(class_names(rows)):
        known = ", ".join(class_names(rows)) or "no class"
        raise StudioError(f"No training image is of the class {sorted(missing)[0]!r}. The data hold: {known}.")
    torch.manual_seed(config.training.seed)
    model = FlowMatching.build(config)
    repeated = repeat_rare(rows, rows, config.repeats)
    train(FlowMatchingTask(config, model, repeated, dataset.split("val")), config.training, run / STAGE)
    if process_state().is_main_process:
        export(config, model, dataset, checkpoint, commit, run)
    return checkpoint


def _seen(row: Row, config: FlowMatchingConfig) -> Row:
    """A row as the model sees it: what is in Hounsfield units, through the run's window."""
    return replace(row, hu_window=config.window) if row.hu_window else row


def export(
    config: FlowMatchingConfig,
    model: FlowMatching,
    dataset: Dataset,
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
        copy.deepcopy(model.network).cpu().half().save_pretrained(place / COMPONENT)
        manifest = write_manifest(place, _manifest(config, dataset, commit))
        engine = load_engine(place, "cpu")  # what cannot be read back must not replace what can
        metrics = {
            "likelihood": {split: _likelihoods(engine, dataset.split(split)) for split in ("train", "test")},
            "likelihood_references": _references(engine),
            "intensity": _intensity(dataset.split("train"), config.image_size),
        }
        manifest = write_manifest(place, _manifest(config, dataset, commit, metrics))
        write_card(place, manifest)
    return manifest


def _likelihoods(engine: FlowMatchingEngine, rows: Sequence[Row]) -> dict[str, Any]:
    """Bits per dimension of some slices under no class, their mean with its standard error, and the way back's error.

    The single values are sorted: nothing tells which slice has which.
    """
    chosen = evenly(rows, engine.config.num_likelihoods)
    if not chosen:
        return {}
    found = [
        engine.likelihood(row.image(), None, generator)
        for row, generator in zip(chosen, seeded_generators(0, len(chosen)), strict=True)
    ]
    bits = np.array([one.bits_per_dimension for one in found])
    errors = [one.inversion_rmse for one in found]
    return {
        "bits_per_dimension": float(bits.mean()),
        "standard_error": float(bits.std(ddof=1) / len(bits) ** 0.5) if len(bits) > 1 else None,
        "inversion_rmse": float(np.mean(errors)),
        "num_images": len(bits),
        "values": sorted(map(float, bits)),
    }


def _references(engine: FlowMatchingEngine) -> dict[str, float]:
    """Bits per dimension of two images that are no slices, under no class; none where no slice is judged."""
    if not engine.config.num_likelihoods:
        return {}
    shape = (engine.config.image_size, engine.config.image_size)
    images: dict[str, NDArray[np.float32]] = {
        "blank, middle gray": np.full(shape, 0.5, np.float32),
        "uniform noise": np.random.default_rng(0).random(shape, np.float32),
    }
    return {
        name: engine.likelihood(image, None, seeded_generators(0, 1)[0]).bits_per_dimension
        for name, image in images.items()
    }


def _intensity(rows: Sequence[Row], size: int) -> dict[str, Any]:
    """How the gray levels 0 to 1 of the images are distributed at the model's size, all pixels together."""
    edges = np.linspace(0, 1, NUM_BINS + 1)
    counts = np.zeros(NUM_BINS, np.int64)
    for row in rows:
        counts += np.histogram(resize_square(row.image(), size), edges)[0]
    return {"edges": edges.tolist(), "train": (counts / max(1, counts.sum())).tolist(), "n": len(rows)}


def _manifest(
    config: FlowMatchingConfig, dataset: Dataset, commit: str, metrics: dict[str, Any] | None = None
) -> Manifest:
    rows = dataset.split("train")
    return Manifest(
        family=config.family,
        name=config.name,
        config=dump(config),
        data={
            "num_train": len(rows),
            "num_val": len(dataset.split("val")),
            "num_test": len(dataset.split("test")),
            "classes": dict(Counter(row.label or "not known" for row in rows)),
            "sources": dict(Counter(row.source for row in rows)),
            "licenses": {row.source: row.license for row in rows},
        },
        steps={STAGE: config.training.num_steps},
        commit=commit,
        license="; ".join(sorted({row.license for row in rows if row.license})),
        preprocessing={
            "size": config.image_size,
            "range": [-1.0, 1.0],
            "fit": "short side to the size, center crop",
        },
        recommended={
            "scheduler": config.solver,
            "num_inference_steps": config.num_inference_steps,
            "guidance_scale": config.guidance_scale,
        },
        sizes=(config.image_size,),
        schedulers=("euler", "heun", "dopri5"),
        labels=config.labels,
        unconditional=True,
        hu_window=asdict(config.window),
        metrics=metrics or {},
    )
