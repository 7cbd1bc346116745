"""The model card of a checkpoint, written from its manifest alone, so that the two cannot disagree."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from xray_generator.checkpoints import Manifest
from xray_generator.config import dump, parse
from xray_generator.data.attribution import source_table
from xray_generator.families.cvae.config import CVAEConfig
from xray_generator.training.settings import TrainingConfig
from xray_generator.types import NOTICE

LOADING = """\
```python
from pathlib import Path
from xray_generator.generation import generate
from xray_generator.registry import load_engine
from xray_generator.types import ClassLabel, GenerationRequest
engine = load_engine({family!r}, Path("outputs/checkpoints/{family}/{name}"))
request = GenerationRequest(ClassLabel({label!r}), height={size}, width={size}, seed=1)
image = generate(engine, request).images[0]  # ({size}, {size}) in [0, 1]
```"""


def write_card(folder: Path, manifest: Manifest) -> None:
    """Write README.md."""
    config = parse(CVAEConfig, manifest.config)
    header = ModelCardData(
        license="mit", pipeline_tag="unconditional-image-generation", tags=["microscopy", "synthetic", "cvae"]
    )
    code = LOADING.format(family=manifest.family, name=manifest.name, label=manifest.labels[0], size=config.size)
    recommended = manifest.recommended
    lines = [
        "---",
        header.to_yaml(),
        "---",
        f"# {manifest.name}",
        "",
        f"**{NOTICE}**",
        "",
        f"Draws gray images of {config.size}x{config.size} pixels of one class: "
        f"{', '.join(f'`{label}`' for label in manifest.labels)}. A class-conditional variational autoencoder (latents "
        f"of {config.latent_channels} channels at 1/{config.reduction} of the side), whose latents are drawn from a "
        "learned prior: a rectified flow from noise to the latents of the class.",
        "",
        "## Privacy",
        "",
        "It holds networks alone, and no latent of any training image: a sample begins at noise, not at "
        "the posterior of an image. That lessens copying; it does not prove that nothing was learned by heart.",
        "",
        "## Out of scope",
        "",
        "- Diagnosis, triage, or any other clinical use.",
        "- Counting or measuring structures in its images as if they had been observed.",
        "- Replacing real images in the training of a detector without measuring what that does to it.",
        "",
        "## How to load it",
        "",
        "From the root of the repository that made it:",
        "",
        code,
        "",
        f"Recommended: {recommended.num_inference_steps} Euler steps, guidance {recommended.guidance_scale:g}. "
        "Every file is checked against the SHA-256 in `manifest.json` first.",
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
        *_measured(dump(manifest.metrics)),
        "",
        "## Limits",
        "",
        "- Color is dropped: the model sees and draws gray.",
        "- Structures are softer than in what they were learned from: see the sharpness of copies above."
        + (" Grain brings the noise and texture back, not the structures." if config.grain_training else ""),
        "- `history/` holds small previews of images of the validation split beside their copies: real ones, where the "
        "data are.",
        "",
        "## All settings",
        "",
        "```json",
        json.dumps(manifest.config, indent=1),
        "```",
    ]
    ModelCard("\n".join(lines) + "\n").save(folder / "README.md")


def _data(manifest: Manifest) -> Iterator[str]:
    data = manifest.data
    yield (
        f"{data.num_train:,} images of the `train` split; {data.num_val:,} more served validation and "
        f"{data.num_test:,} were kept for tests. By class: "
        + ", ".join(f"{label} {count:,}" for label, count in data.classes.items())
        + "."
    )
    yield from ("", *source_table(data.sources, data.licenses))


def _procedure(manifest: Manifest, config: CVAEConfig) -> Iterator[str]:
    weights = config.reconstruction
    parts = (
        (weights.l1_weight, "L1"),
        (weights.l2_weight, "L2"),
        (weights.gradient_weight, "L1 of finite differences"),
        (weights.energy_weight, "L1 of the local energy of detail"),
        (weights.lattice_weight, "bias by the place in 16 x 16 pixels"),
        (config.beta, "KL"),
    )
    yield (
        f"1. Encoder and decoder: {_stage(config.autoencoder_training)} on crops of {config.crop_side} pixels. Loss: "
        f"{' + '.join(f'{weight:g} {name}' for weight, name in parts if weight)}, of which {config.free_bits:g} nats a "
        "latent value are free. Padding is left out."
    )
    yield (
        f"2. Prior: {_stage(config.prior_training)} on draws from the posteriors of the training images; mean squared "
        f"error of the velocity, the class left out {config.prior.class_dropout:.0%} of the time."
    )
    if config.grain_training is not None:
        yield (
            f"3. Grain: {_stage(config.grain_training)} on what copies of the training images lack. Given a copy, the "
            "rest is taken for Gaussian noise in four bands of frequency, each with a strength that a network tells "
            "for each place (after Dorta et al. 2018, arXiv:1802.07079). Each image is drawn with such grain; it is "
            "noise and no structure that was learned."
        )
    yield from ("", f"The weights are exponential averages, stored in 16 bit. Code: commit {manifest.commit}.")


def _stage(training: TrainingConfig) -> str:
    batch = training.batch_size * training.gradient_accumulation_steps
    return (
        f"{training.num_steps:,} steps of {batch}, AdamW, learning rate {training.learning_rate:g} "
        f"({training.lr_schedule}), seed {training.seed},"
    )


def _measured(metrics: Mapping[str, Any]) -> Iterator[str]:
    grain = metrics.get("grain", {})
    rows = [
        f"| {split} | {found['num_images']} | {found['psnr_db']:.2f} | {found['ssim']:.4f} | {_sharpness(found)} | "
        f"{_sharpness(grain.get(split, {}))} |"
        for split, found in metrics.get("reconstruction", {}).items()
        if found
    ]
    if not rows:
        yield "Not measured: there was no image outside of training."
        return
    yield "| split | images | PSNR (dB) | SSIM | sharpness | sharpness with grain |"
    yield from ("| --- | --- | --- | --- | --- | --- |", *rows, "")
    yield "Copies of images by encoder and decoder. Sharpness: variance of the Laplacian over that of the image."


def _sharpness(found: Mapping[str, Any]) -> str:
    return f"{found['sharpness_ratio']:.2f}" if "sharpness_ratio" in found else "not measured"
