"""The model card of a flow, written from its manifest alone, so that the two cannot disagree."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from xray_generator.checkpoints import Manifest
from xray_generator.config import parse
from xray_generator.data.attribution import source_table
from xray_generator.families.flow_matching.config import FlowMatchingConfig
from xray_generator.types import PURPOSE

LOADING = """\
```python
from pathlib import Path
from xray_generator.requests import request_of
from xray_generator.studio import Studio
from xray_generator.types import {condition}
studio, request = Studio(Path("outputs")), request_of({asked}, seed=1, size={size})
for image in studio.save(studio.generate(request, {name!r}), Path("outputs/generated")):
    print(image.path)
```"""


def write_card(folder: Path, manifest: Manifest) -> None:
    """Write README.md."""
    config = parse(FlowMatchingConfig, manifest.config)
    header = ModelCardData(license="mit", pipeline_tag="unconditional-image-generation", tags=["ct", "flow-matching"])
    first = next(iter(config.labels), "")
    code = LOADING.format(
        condition="ClassLabel" if first else "Unconditional",
        asked=f"ClassLabel({first!r})" if first else "Unconditional()",
        size=config.image_size,
        name=manifest.name,
    )
    lines = [
        "---",
        header.to_yaml(),
        "---",
        f"# {manifest.name}",
        "",
        f"**Draws slices of patients who do not exist. {PURPOSE}**",
        "",
        f"Axial chest CT at {config.image_size} pixels, {_classes(config)}, by a continuous normalizing flow: a "
        "network gives the velocity with which noise becomes an image (rectified flow), an ODE solver follows it. "
        "The same flow run backwards gives the likelihood of any slice.",
        "",
        f"Gray 0 to 1 stands for {config.window.low:g} to {config.window.high:g} HU; what lies outside is clipped.",
        "",
        "## Out of scope",
        "",
        "- Diagnosis, triage, or any other clinical use. A class is the case's: no lesion need be in the slice.",
        "- Volumes: slices are drawn one by one and do not fit together.",
        "- Likelihood as a test of whether a slice is real: smooth images score well whatever they show.",
        "",
        "## How to load it",
        "",
        "From the root of the repository that made it:",
        "",
        code,
        "",
        f"Recommended: {config.solver}, {config.num_inference_steps} steps, guidance {config.guidance_scale:g}. Every "
        "file is checked against the SHA-256 in `manifest.json` first.",
        "",
        "## Training data",
        "",
        *_data(manifest),
        "",
        "## Procedure",
        "",
        *_procedure(manifest, config),
        "",
        "## Measured",
        "",
        *_measured(manifest.metrics),
        "",
        "## A discrete flow",
        "",
        "Affine coupling layers and invertible 1x1 convolutions (Glow) are not part of this checkpoint: they were not "
        "trained, so nothing is claimed of how they compare.",
        "",
        "## All settings",
        "",
        "```json",
        json.dumps(manifest.config, indent=1),
        "```",
    ]
    ModelCard("\n".join(lines) + "\n").save(folder / "README.md")


def _classes(config: FlowMatchingConfig) -> str:
    return f"by class ({', '.join(config.labels)}) or of no class" if config.labels else "of no class"


def _data(manifest: Manifest) -> Iterator[str]:
    data = manifest.data
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(data["classes"].items()))
    yield (
        f"{data['num_train']:,} slices of the `train` split ({counts}); {data['num_val']:,} more served validation and "
        f"{data['num_test']:,} were kept for tests. Classes that the model does not draw were shown to it as no class."
    )
    yield from ("", *source_table(data, "slices"))


def _procedure(manifest: Manifest, config: FlowMatchingConfig) -> Iterator[str]:
    training, moved = config.training, config.augmentation
    batch = training.batch_size * training.gradient_accumulation_steps
    yield (
        f"{training.num_steps:,} steps of {batch} slices, AdamW, learning rate {training.learning_rate:g} "
        f"({training.lr_schedule}), seed {training.seed}. Loss: mean squared error of the velocity, noise levels "
        f"logit-normal ({config.sigma_mean:g}, {config.sigma_std:g}), {config.coupling.replace('_', ' ')} coupling; "
        f"the class is left out for {config.class_dropout:.0%} of the images, and images of rare classes stand in an "
        f"epoch up to {config.repeats} times. Each is turned by up to {moved.turn:g} radians, scaled by up to "
        f"{moved.zoom:.0%} and shifted by up to {moved.shift:.0%} of the side, never mirrored."
    )
    yield from ("", f"The weights are exponential averages, stored in 16 bit. Code: commit {manifest.commit}.")
    yield from (line for remark in config.remarks for line in ("", remark))


def _measured(metrics: Mapping[str, Any]) -> Iterator[str]:
    found = metrics.get("likelihood", {})
    rows = [
        f"| {split} | {one['num_images']} | {_with_error(one)} | {one['inversion_rmse']:.2e} |"
        for split, one in found.items()
        if one
    ]
    if not rows:
        yield "Not measured."
        return
    yield from (
        "| split | slices | bits per dimension, no class | image to noise and back, RMS error of gray 0 to 1 |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
    )
    yield "Estimated: 256 gray levels made continuous by uniform noise, divergence by Hutchinson, adaptive solver."
    known = {"a density that is equal for all images": 8.0, **metrics.get("likelihood_references", {})}
    told = "; ".join(f"{name} {value:.2f}" for name, value in known.items())
    yield from (
        "",
        f"For comparison, bits per dimension: {told}. Above 8, real slices are less probable to the model "
        "than to a density that knows nothing: it has not learned their finest detail.",
    )


def _with_error(found: Mapping[str, Any]) -> str:
    error = found["standard_error"]
    return f"{found['bits_per_dimension']:.3f}" + ("" if error is None else f" ± {error:.3f}")
