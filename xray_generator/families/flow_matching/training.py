"""A run of training, and the release of its checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from xray_generator.checkpoints import IntensityHistogram, LikelihoodSummary, Manifest, Metrics, code_commit
from xray_generator.data.rows import Dataset, Row, evenly, repeat_rare, require_classes
from xray_generator.devices import process_state, seeded_generators
from xray_generator.families.flow_matching.card import describe
from xray_generator.families.flow_matching.config import FlowMatchingConfig
from xray_generator.families.flow_matching.engine import COMPONENT, FlowMatchingEngine, load_engine
from xray_generator.families.flow_matching.model import FlowMatching
from xray_generator.families.flow_matching.task import FlowMatchingTask
from xray_generator.images import resize_square
from xray_generator.nn.rectified_flow import SOLVERS
from xray_generator.training.loop import train
from xray_generator.training.release import draft_manifest, half_precision, release
from xray_generator.types import LikelihoodMethod, Recommendation, RunOptions, StudioError

STAGE = "flow"
NUM_BINS = 64  # of the histogram of gray levels
METHOD: LikelihoodMethod = "fast"  # of the likelihoods at release


def train_run(config: FlowMatchingConfig, dataset: Dataset, options: RunOptions) -> Path:
    """Train what is left of a run and return the checkpoint; `train` is trained on, `val` and `test` are measured.

    Raises:
        StudioError: a class of the settings has no training image; or see `training.loop.train`.
    """
    run, checkpoint = options.run, options.checkpoint
    commit = code_commit()  # of the code that runs, whatever changes on disk meanwhile
    if any(row.hu_window not in (None, config.window) for row in dataset.rows):
        raise StudioError("The slices were read through another window than the configuration's.")
    rows = dataset.split("train")
    require_classes(rows, config.labels)
    torch.manual_seed(config.training.seed)
    model = FlowMatching.build(config)
    repeated = repeat_rare(rows, rows, config.repeats)
    train(FlowMatchingTask(config, model, repeated, dataset.split("val")), config.training, run / STAGE)
    if process_state().is_main_process:
        export(config, model, dataset, checkpoint, commit, run)
    return checkpoint


def export(
    config: FlowMatchingConfig,
    model: FlowMatching,
    dataset: Dataset,
    folder: Path,
    commit: str = "unknown",
    run: Path | None = None,
) -> Manifest:
    """Release the model, see `training.release.release`; its likelihoods are measured on some of `train` and `test`."""

    def save(place: Path) -> None:
        half_precision(model.network).save_pretrained(place / COMPONENT)

    def measure(engine: FlowMatchingEngine) -> Metrics:
        found = {split: _likelihoods(engine, dataset.split(split)) for split in ("train", "test")}
        return Metrics(
            likelihood={split: one for split, one in found.items() if one is not None},
            likelihood_references=_references(engine),
            intensity=_intensity(dataset.split("train"), config.image_size),
        )

    manifest = draft_manifest(
        config,
        dataset,
        {STAGE: config.training.num_steps},
        commit,
        preprocessing={
            "size": config.image_size,
            "range": [-1.0, 1.0],
            "fit": "short side to the size, center crop",
        },
        recommended=Recommendation(config.solver, config.num_inference_steps, config.guidance_scale),
        sizes=(config.image_size,),
        schedulers=tuple(SOLVERS),
        labels=config.labels,
        unconditional=True,
        hu_window=config.window,
    )
    return release(folder, manifest, save, load_engine, measure, describe, run)


def _likelihoods(engine: FlowMatchingEngine, rows: Sequence[Row]) -> LikelihoodSummary | None:
    """Of some slices under no class; None where none is wanted or there is none."""
    chosen = evenly(rows, engine.config.num_likelihoods)
    if not chosen:
        return None
    bar = tqdm(chosen, f"Likelihoods, {chosen[0].split}", unit="slice")
    found = [
        engine.likelihood(row.image(), None, generator, METHOD)
        for row, generator in zip(bar, seeded_generators(0, len(chosen)), strict=True)
    ]
    bits = np.array([one.bits_per_dimension for one in found])
    return LikelihoodSummary(
        bits_per_dimension=float(bits.mean()),
        standard_error=float(bits.std(ddof=1) / len(bits) ** 0.5) if len(bits) > 1 else None,
        inversion_rmse=float(np.mean([one.inversion_rmse for one in found])),
        num_images=len(bits),
        values=tuple(sorted(map(float, bits))),
        method=METHOD,
    )


def _references(engine: FlowMatchingEngine) -> dict[str, float]:
    """Bits per dimension of two artificial images under no class; none where no slice is scored.

    One that does not come back from its noise is left out: the solver lost the path, and the number says nothing.
    """
    if not engine.config.num_likelihoods:
        return {}
    shape = (engine.config.image_size, engine.config.image_size)
    images: dict[str, NDArray[np.float32]] = {
        "blank, middle gray": np.full(shape, 0.5, np.float32),
        "uniform noise": np.random.default_rng(0).random(shape, np.float32),
    }
    found = {
        name: engine.likelihood(image, None, seeded_generators(0, 1)[0], METHOD)
        for name, image in tqdm(images.items(), "Likelihoods, artificial images", unit="image")
    }
    return {name: one.bits_per_dimension for name, one in found.items() if one.is_sound}


def _intensity(rows: Sequence[Row], size: int) -> IntensityHistogram:
    edges, counts = np.linspace(0, 1, NUM_BINS + 1), np.zeros(NUM_BINS, np.int64)
    for row in rows:
        counts += np.histogram(resize_square(row.image(), size), edges)[0]
    shares = counts / max(1, counts.sum())
    return IntensityHistogram(tuple(edges.tolist()), tuple(shares.tolist()), len(rows))
