"""The effect of guidance and of the number of steps: the same prompts drawn and measured at several values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from xray_generator.evaluation import class_fidelity, distribution, fidelity, image_quality, plots
from xray_generator.evaluation.inputs import spread
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.records import Curve, Measurement
from xray_generator.evaluation.study import Findings, Study

GUIDANCES = (1.0, 2.0, 3.0, 5.0, 7.5)
STEPS = (4, 8, 20, 50)
SWEEP_IMAGES = 200  # per value
SETTING_NAMES = {"guidance_scale": "guidance", "num_inference_steps": "steps"}
SWEPT = ("kernel_distance", "sharpness_ratio")


def find_guidance(study: Study, rng: np.random.Generator) -> Findings:
    """Distance, sharpness and fidelity as functions of guidance."""
    return _sweep(study, rng, "guidance_scale", GUIDANCES)


def find_steps(study: Study, rng: np.random.Generator) -> Findings:
    """Distance, sharpness and fidelity as functions of the number of steps."""
    return _sweep(study, rng, "num_inference_steps", STEPS)


def _sweep(study: Study, rng: np.random.Generator, setting: str, values: Sequence[float]) -> Findings:
    model, encoder, space = study.require_model(), study.classifiers.encoder, study.space
    test = study.test_images() if encoder else None
    found: list[Measurement] = []
    rows = spread(study.generated.rows, min(SWEEP_IMAGES, len(study.generated)))
    seed = int(rng.integers(2**63))
    for value in values:
        rng = np.random.default_rng(seed)  # the same splits for all values
        images = model.redraw(rows, {setting: value})
        part = replace(study, generated=images)
        pair = part.pair(min(space.size, study.size))
        taken = distribution.compare(*pair, space.extractor, rng, split=study.split)
        taken += image_quality.compare(*part.pair(study.size), rng, split=study.split)
        taken = [m for m in taken if m.measure in SWEPT]
        if encoder is not None and test is not None:
            taken += fidelity.measure_fidelity(encoder, images, test, rng)
            taken += class_fidelity.measure_class_accuracy(encoder, images, test, rng)
        found += [replace(m, settings={**m.settings, setting: value}) for m in taken]
    over_classes = (class_fidelity.MEASURE,) if encoder is not None and encoder.classes else ()
    curves = {f"{name}_by_{setting}": _curve(found, name, setting) for name in (*SWEPT, *over_classes)}
    if setting == "guidance_scale" and encoder is not None:
        curves["prompt_fidelity_by_guidance_scale"] = fidelity.guidance_curve(found)
    return Findings(tuple(found), curves, figures={name: plots.curves(curve) for name, curve in curves.items()})


def _curve(found: Sequence[Measurement], measure: str, setting: str) -> Curve:
    chosen = [m for m in found if m.measure == measure and not m.condition]
    title, words = MEASURES[measure].title, SETTING_NAMES[setting]
    return Curve(
        f"{title} against {words}",
        words,
        title,
        tuple(float(m.settings[setting]) for m in chosen),
        {"generated": tuple(m.value for m in chosen), "real": tuple(m.real for m in chosen)},
    )
