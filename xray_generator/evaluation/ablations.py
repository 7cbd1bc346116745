"""Ablations of sampling: the same prompts drawn without each choice that the checkpoint makes, and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from xray_generator.evaluation import distribution, image_quality
from xray_generator.evaluation.inputs import spread
from xray_generator.evaluation.records import Measurement, Record
from xray_generator.evaluation.study import Findings, Study
from xray_generator.evaluation.summary import markdown_table
from xray_generator.types import StudioError

TABLE = "ablations"
NUM_IMAGES = 200  # per ablation
SHOWN = ("frechet_ratio", "kernel_distance", "recall", "sharpness_ratio")
HEADING = "Ablations of sampling"  # of the card's section


def find_ablations(study: Study, rng: np.random.Generator) -> Findings:
    """The table "ablations": a row for each change, with what was predicted and what was measured."""
    variants = study.require_model().variants
    if not variants:
        raise StudioError("This model has no ablations.")
    rows, seed = spread(study.generated.rows, min(NUM_IMAGES, len(study.generated))), int(rng.integers(2**63))
    table = []
    for variant in variants:
        drawn = variant.redraw(rows)
        head = {"change": variant.change, "predicted": variant.predicted, "n": len(drawn)}
        table.append(head | _measure(replace(study, generated=drawn), np.random.default_rng(seed)))
    return Findings(tables={TABLE: tuple(table)})


def _measure(study: Study, rng: np.random.Generator) -> dict[str, Any]:
    """In the first space with enough images for a Fréchet distance of its features, otherwise in the first."""
    found: list[dict[str, Measurement]] = []
    for space in study.classifiers.spaces:
        pair = study.pair(min(space.size, study.size))
        taken = distribution.compare(*pair, space.extractor, rng, split=study.split)
        found.append({m.measure: m for m in taken})
    best = next((taken for taken in found if taken["frechet_ratio"].value is not None), found[0])
    best |= {m.measure: m for m in image_quality.compare(*study.pair(study.size), rng, split=study.split)}
    low, high = best["frechet_ratio"].interval or (None, None)
    values = {name: best[name].value for name in SHOWN}
    return {**values, "frechet_low_95": low, "frechet_high_95": high, "space": best["kernel_distance"].extractor}


def describe(record: Record) -> tuple[str, ...]:
    """The lines of a card's section on a record's ablations; none where it has none."""
    table: Sequence[Mapping[str, Any]] = record.tables.get(TABLE, ())
    if not table:
        return ()
    return (
        markdown_table(table),
        "",
        f"Measured by `python -m xray_generator.evaluate --suite {record.suite}` on {record.created[:10]}, code "
        f"{record.commit}: the same prompts and seeds, each row against the first, beside unseen real images; the "
        "sharpness ratio is over that of real images.",
    )
