"""The release of a checkpoint, written once for every family: staged, measured, read back, then in its place."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from xray_generator.cards import Card, write_card
from xray_generator.checkpoints import DataFacts, Manifest, Metrics, write_manifest
from xray_generator.config import dump
from xray_generator.data.rows import Dataset
from xray_generator.folders import staged
from xray_generator.training.best import best_step
from xray_generator.training.history import export_history

EngineT = TypeVar("EngineT")


def release(
    folder: Path,
    manifest: Manifest,
    save: Callable[[Path], None],
    load: Callable[[Path, str], EngineT],
    measure: Callable[[EngineT], Metrics],
    describe: Callable[[Manifest], Card],
    run: Path | None = None,
) -> Manifest:
    """Write a checkpoint and its card into `folder`, where they replace an older one once all went well.

    Args:
        folder: the checkpoint's.
        manifest: without files and metrics.
        save: writes the weights into a folder, in 16 bit, as safetensors.
        load: reads them back on a device; what cannot be read must not replace what can.
        measure: what the manifest says of the weights as released.
        describe: the card's text.
        run: a run's folder, of whose log and previews a small copy goes along.
    """
    with staged(folder) as place:
        if run is not None:
            export_history(run, place)
            manifest = replace(manifest, steps=_released_steps(manifest.steps, run))
        save(place)
        manifest = write_manifest(place, manifest)
        manifest = write_manifest(place, replace(manifest, metrics=measure(load(place, "cpu"))))
        write_card(place, manifest, describe(manifest))
    return manifest


def _released_steps(steps: Mapping[str, int], run: Path) -> dict[str, int]:
    """The steps of each stage; of one that kept its best weights, those of these."""
    return {stage: best_step(run / stage) or count for stage, count in steps.items()}


def draft_manifest(
    config: Any,  # noqa: ANN401 - a family's configuration, with `family` and `name`
    dataset: Dataset,
    steps: Mapping[str, int],
    commit: str,
    **facts: Any,  # noqa: ANN401 - the other fields of a Manifest, or these in place of the usual ones
) -> Manifest:
    """The manifest of a run's checkpoint without files and metrics: what every family states alike, and its own facts.

    Args:
        config: of the run.
        dataset: counted, with its sources and licenses.
        steps: optimizer steps by stage.
        commit: of the code that trained it.
        facts: `preprocessing`, `recommended`, `sizes` and whatever else is the family's.
    """
    shared = {
        "family": config.family,
        "name": config.name,
        "config": dump(config),
        "data": data_facts(dataset),
        "steps": dict(steps),
        "commit": commit,
        "license": data_license(dataset),
    }
    return Manifest(**shared | facts)


def data_facts(dataset: Dataset) -> DataFacts:
    """Counts of the splits; sources, licenses and classes of the training split."""
    rows = dataset.split("train")
    labels = sorted(row.label for row in rows)
    return DataFacts(
        num_train=len(rows),
        num_val=len(dataset.split("val")),
        num_test=len(dataset.split("test")),
        sources=dict(Counter(row.source for row in rows)),
        licenses={row.source: row.license for row in rows},
        classes=dict(Counter(label or "not known" for label in labels)) if any(labels) else {},
    )


def data_license(dataset: Dataset) -> str:
    """The licenses of the training images, each once."""
    return "; ".join(sorted({row.license for row in dataset.split("train") if row.license}))


def half_precision(module: Any) -> Any:  # noqa: ANN401 - networks of diffusers and transformers share no typed base
    """A copy of a network in 16 bit on the CPU."""
    return copy.deepcopy(module).cpu().half()
