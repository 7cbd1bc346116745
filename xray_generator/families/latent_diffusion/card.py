"""The model card of a checkpoint: what it is and is not for, what it learned from and how, what was measured."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from xray_generator.checkpoints import Manifest
from xray_generator.config import dump, parse
from xray_generator.data.attribution import source_table
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig
from xray_generator.training.settings import TrainingConfig
from xray_generator.types import NOTICE

BIASES = {
    "nih_chestxray14": "NIH labels are text-mined, about one in ten is wrong. The full-resolution NIH films are mainly "
    "normal or pneumonia; the other findings come from small images, and are drawn less sharply and less surely.",
    "kermany_pediatric": "The children are one to five years old and come from one hospital, with a tight crop.",
    "hannover_covid": "COVID-19 films are mostly bedside AP films with tubes and lines: the model ties these together.",
}

LOADING = """\
```python
from pathlib import Path
from xray_generator.requests import text_request
from xray_generator.studio import Studio
studio, request = Studio(Path("outputs")), text_request({prompt!r}, seed=1, size={size})
for image in studio.save(studio.generate(request, {name!r}), Path("outputs/generated")):
    print(image.path)
```"""


def write_card(folder: Path, manifest: Manifest) -> None:
    """Write README.md from the manifest alone, so that the two cannot disagree."""
    header = ModelCardData(
        license="mit", library_name="diffusers", pipeline_tag="text-to-image", tags=["chest-x-ray", "synthetic"]
    )
    config = parse(LatentDiffusionConfig, manifest.config)
    recommended, size = manifest.recommended, config.image_size
    low, high = config.schedule.guidance_interval
    within = "" if (low, high) == (0, 1) else f" (which acts from {low:g} to {high:g} of the timesteps)"
    prompt = next(iter(manifest.vocabulary.get("example_prompts", ())), "Normal chest X-ray, PA view")
    lines = [
        "---",
        header.to_yaml(),
        "---",
        f"# {manifest.name}",
        "",
        f"**{NOTICE}**",
        "",
        f"Draws frontal chest X-rays of {size}x{size} pixels, 8-bit gray, from an English description. Latent "
        "diffusion: an autoencoder (latents at 1/8 of the side), a UNet with cross-attention, and a text encoder.",
        "",
        "## Intended use",
        "",
        "To see, teach and study how such models work: their training, sampling, guidance and failures.",
        "",
        "## Out of scope",
        "",
        "- Diagnosis, triage, or any other clinical use; evidence about a patient, a group or a disease.",
        "- Teaching or testing the reading of films: findings can be absent, misplaced or impossible.",
        "- Replacing real images where a medical device is trained or validated; passing an image off as real.",
        "",
        "## How to load it",
        "",
        f"With this folder as `outputs/checkpoints/{manifest.family}/{manifest.name}/`, from the root of the "
        "repository that made it:",
        "",
        LOADING.format(prompt=prompt, size=size, name=manifest.name),
        "",
        f"Recommended: scheduler {recommended.scheduler}, {recommended.num_inference_steps} steps, guidance "
        f"{recommended.guidance_scale:g}{within}. Every file is checked against the SHA-256 in "
        "`manifest.json` first.",
        "",
        "## Training data",
        "",
        *_data(manifest, size),
        "",
        "## Procedure",
        "",
        *_procedure(manifest, config),
        "",
        "## Measured",
        "",
        *_measured(dump(manifest.metrics)),
        "",
        "How real, varied, true to the prompt, useful and like training images its images are is measured by "
        "`python -m xray_generator.evaluate`; a record in `outputs/metrics/` names these weights by their SHA-256. "
        "What stands neither here nor there, such as the judgment of a radiologist, was not measured.",
        "",
        "## Limits",
        "",
        *(f"- {BIASES[name]}" for name in sorted(manifest.data.sources) if name in BIASES),
        "- A prompt word that no training caption holds has no learned meaning.",
        "- It may repeat parts of training images; the copy rate in the records above says whether it does.",
        "",
        "## All settings",
        "",
        "```json",
        json.dumps(manifest.config, indent=1),
        "```",
    ]
    ModelCard("\n".join(lines) + "\n").save(folder / "README.md")


def _data(manifest: Manifest, size: int) -> Iterator[str]:
    data = manifest.data
    yield (
        f"{data.num_train:,} images of the `train` split, of which {data.num_full_resolution:,} reach {size} "
        f"pixels by themselves; the others were enlarged, and the denoiser was told which. {data.num_val:,} more "
        f"served validation and {data.num_test:,} were kept for tests."
    )
    yield from ("", *source_table(data.sources, data.licenses))


def _procedure(manifest: Manifest, config: LatentDiffusionConfig) -> Iterator[str]:
    shape, schedule, text = config.autoencoder, config.schedule, config.text_encoder
    if "autoencoder" in manifest.steps:
        yield (
            f"1. **Autoencoder**, {_settings(config.autoencoder_training)}. Random crops of {shape.crop_size} pixels; "
            f"loss: L1 + {shape.gradient_weight:g} x L1 of pixel differences + {shape.kl_weight:g} x KL divergence."
        )
    else:
        yield "1. **Autoencoder**: taken from another run, and frozen."
    target = {
        "v_prediction": "v",
        "epsilon": "the noise",
        "sample": "v as it follows from the latents that the UNet tells",
    }[schedule.prediction_type]
    fold = config.unet.fold
    folded = f" folded {fold}x{fold} and" if fold > 1 else ""
    weight = "" if schedule.min_snr_gamma is None else f", weighted by min-SNR with gamma {schedule.min_snr_gamma:g}"
    balance = ", each channel's over its running mean at that noise level" if schedule.balance_errors else ""
    rare = f", those of rare conditions up to {config.rare_repeats} times as often" if config.rare_repeats > 1 else ""
    wordings = f"; each caption in {config.caption_variants} wordings" if config.caption_variants > 1 else ""
    encoder = (
        "A small BERT, its vocabulary taken from the training captions, learns along."
        if text.kind == "bert"
        else f"The text encoder {text.name_or_path} is frozen and not part of this folder; a projection learns along."
    )
    yield (
        f"2. **Denoiser**, {_settings(config.denoiser_training)}. Mean squared error of {target}{weight}{balance}, on "
        f"latents{folded} whitened by their measured covariance, over "
        f"{schedule.num_train_timesteps:,} steps of the noise schedule {schedule.beta_schedule}; "
        f"{schedule.prompt_dropout:.0%} of the prompts are dropped, for guidance. {encoder} An epoch shows films of "
        f"full resolution {config.native_repeats} times{rare}{wordings}."
    )
    yield from _later_stages(config)
    yield from (f"\n{remark}" for remark in config.remarks)
    yield from ("", f"The weights are exponential averages, stored in 16 bit. Code: commit {manifest.commit}.")


def _later_stages(config: LatentDiffusionConfig) -> Iterator[str]:
    decoder, few, number = config.decoder, config.few_step, 3
    critic = (
        f" + {decoder.adversarial_weight:g} x the score of a patch critic that learns along + "
        f"{decoder.feature_weight:g} x L1 of the critic's features"
    )
    critic = critic if decoder.adversarial_weight or decoder.feature_weight else ""
    if config.decoder_training is not None:
        yield (
            f"{number}. **Decoder**, {_settings(config.decoder_training)}, on crops of full resolution, the encoder "
            f"frozen. Loss: L1 + {decoder.energy_weight:g} x L1 of the Laplacian's local root mean square at three "
            f"scales{critic}."
        )
        number += 1
    if config.few_step_training is not None:
        yield (
            f"{number}. **Adapter for {few.num_steps} steps** (scheduler few_step), "
            f"{_settings(config.few_step_training)}: low rank ({few.rank}), distillation of "
            f"{few.teacher_steps} guided DDIM steps into one, guidance {few.guidance_scale:g} within."
        )


def _settings(training: TrainingConfig) -> str:
    batch = training.batch_size * training.gradient_accumulation_steps
    return (
        f"{training.num_steps:,} steps of {batch} images, AdamW, learning rate {training.learning_rate:g} "
        f"({training.lr_schedule}), seed {training.seed}"
    )


def _measured(metrics: Mapping[str, Any]) -> Iterator[str]:
    rows = list(_rows("", metrics))
    if rows:
        yield from ("| measure | images | values |", "| --- | --- | --- |", *rows, "")
        yield (
            "Reconstruction: real images of full resolution against their copies through the autoencoder, mean over "
            "images. It bounds the detail that the model can draw, and says nothing of how true its images are."
        )


def _rows(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    groups = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    leaves = {key: value for key, value in values.items() if key not in groups and key != "num_images"}
    if leaves:
        shown = ", ".join(f"{key} {v:.4g}" if isinstance(v, float) else f"{key} {v}" for key, v in leaves.items())
        yield f"| {name} | {values.get('num_images', 'not stated')} | {shown} |"
    for key, value in groups.items():
        yield from _rows(f"{name}, {key}" if name else key.replace("_", " "), value)
