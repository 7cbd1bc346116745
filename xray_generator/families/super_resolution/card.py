"""The model card of a super-resolution checkpoint, written from its manifest alone, so that the two cannot disagree."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from xray_generator.checkpoints import Manifest
from xray_generator.config import dump, parse
from xray_generator.data.attribution import source_table
from xray_generator.families.super_resolution.config import SuperResolutionConfig
from xray_generator.types import PURPOSE

LOADING = """\
```python
from pathlib import Path
import torch
from xray_generator.registry import load_upscaler
upscaler = load_upscaler({family!r}, Path("outputs/checkpoints/{family}/{name}"))
images = torch.zeros(1, 1, 256, 256)  # (B, 1, S, S) in [-1, 1]
larger = upscaler.upscale(images, {size}, {steps}, [torch.Generator().manual_seed(1)])
```"""


def write_card(folder: Path, manifest: Manifest) -> None:
    """Write README.md."""
    config = parse(SuperResolutionConfig, manifest.config)
    header = ModelCardData(license="mit", pipeline_tag="image-to-image", tags=["super-resolution"])
    sizes = " and ".join(str(size) for size in manifest.sizes)
    code = LOADING.format(
        family=manifest.family, name=manifest.name, size=manifest.sizes[0], steps=config.num_inference_steps
    )
    lines = [
        "---",
        header.to_yaml(),
        "---",
        f"# {manifest.name}",
        "",
        f"**Its images hold detail that nobody measured. {PURPOSE}**",
        "",
        f"Enlarges {config.subject} to {sizes} pixels. The image is enlarged by bicubic interpolation, and a "
        "rectified flow draws what is missing. One step gives the mean of all films that fit, which is nearest to the "
        "film; more steps give a sharper one of them, whose fine lines and grain are made up.",
        "",
        "## Out of scope",
        "",
        "- Diagnosis, triage, or any other clinical use. Detail below the resolution of the input is invented.",
        "- Measuring or finding anything in an enlarged image that the input does not show.",
        "",
        "## How to load it",
        "",
        "From the root of the repository that made it:",
        "",
        code,
        "",
        f"Recommended: {config.num_inference_steps} steps. Every file is checked against the SHA-256 in "
        "`manifest.json` first.",
        "",
        "## Training data",
        "",
        *_data(manifest, config),
        "",
        "## Procedure",
        "",
        *_procedure(manifest, config),
        "",
        "## Measured",
        "",
        *_measured(dump(manifest.metrics)["enlargement"], config),
        "",
        "## Limits",
        "",
        "- It learned from films that were scaled down. A generated image has other faults, and they are enlarged too.",
        "- Films are stored as JPEG; their faint blocks are part of the grain that it learned.",
        "- `history/` holds small previews with crops of real films of the validation split.",
        "",
        "## All settings",
        "",
        "```json",
        json.dumps(manifest.config, indent=1),
        "```",
    ]
    ModelCard("\n".join(lines) + "\n").save(folder / "README.md")


def _data(manifest: Manifest, config: SuperResolutionConfig) -> Iterator[str]:
    data = manifest.data
    yield (
        f"{data.num_train:,} films of the `train` split that reach {config.film_size} pixels by themselves; "
        f"{data.num_val:,} more served validation and {data.num_test:,} were kept for tests."
    )
    yield from ("", *source_table(data.sources, data.licenses, "films"))


def _procedure(manifest: Manifest, config: SuperResolutionConfig) -> Iterator[str]:
    training, made_worse = config.training, config.degradation
    batch = training.batch_size * training.gradient_accumulation_steps
    least, greatest = made_worse.factors
    yield (
        f"{training.num_steps:,} steps of {batch} crops of {config.crop_size} pixels, AdamW, learning rate "
        f"{training.learning_rate:g} ({training.lr_schedule}), seed {training.seed}. Loss: mean squared error of the "
        f"velocity from noise to residual, scaled to unit variance; {config.one_step_share:.0%} of each batch at pure "
        f"noise. Films are scaled down {least:g} to {greatest:g} times by area; for half or more of them blur (up to "
        f"{made_worse.max_blur:g} pixels) or noise (up to {made_worse.max_noise:g}) is added, and told to the network."
    )
    yield from ("", f"The weights are exponential averages, stored in 16 bit. Code: commit {manifest.commit}.")


def _measured(metrics: Mapping[str, Mapping[str, Any]], config: SuperResolutionConfig) -> Iterator[str]:
    rows = [
        f"| {split} | {found['num_images']} | {found['psnr_db']:.2f} | {found['bicubic_psnr_db']:.2f} | "
        f"{found['ssim']:.4f} |"
        for split, found in metrics.items()
        if found
    ]
    if not rows:
        yield "Not measured: there was no film outside of training."
        return
    yield from (
        "| split | films | PSNR, one step (dB) | PSNR, bicubic (dB) | SSIM, one step |",
        "| --- | --- | --- | --- | --- |",
        *rows,
        "",
    )
    yield f"Films of {config.film_size} pixels, scaled down to half the side and enlarged again, mean over films."
