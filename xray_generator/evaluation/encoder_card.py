"""The model card of a reference encoder, written from its manifest alone, so that the two cannot disagree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from xray_generator.config import dump
from xray_generator.data.attribution import ATTRIBUTION
from xray_generator.evaluation.encoder_manifest import CHEST, EncoderManifest, LabelQuality

LIMITS = (
    "Labels of NIH films are text-mined; about one in ten is wrong, so no figure above can reach 1.",
    "Pneumonia in children was learned from one hospital, with a tight crop; other findings from adults of another.",
    "COVID-19 has no output: all its films come from one hospital, so a network would learn the hospital.",
    "Films are seen at 128 pixels: what is finer than that is invisible to it.",
    "As a feature space it knows chest X-rays alone; distances in it compare with no distance in another space.",
)


def write_encoder_card(folder: Path, manifest: EncoderManifest) -> None:
    """Write README.md."""
    films = "films" if manifest.subject == CHEST else "images"
    has_patients = manifest.data["num_patients"] > 1
    whose = f" of {manifest.data['num_patients']:,} patients" if has_patients else ""
    header = ModelCardData(
        license="mit",
        library_name="transformers",
        pipeline_tag="image-classification",
        tags=["chest-x-ray" if manifest.subject == CHEST else "medical-imaging"],
    )
    data, size = manifest.data, manifest.shape.image_size
    lines = [
        "---",
        header.to_yaml(),
        "---",
        f"# {manifest.name}",
        "",
        "**Scores synthetic images. Research and education only. Not for diagnosis.**",
        "",
        f"A ResNet with {len(manifest.labels)} outputs on {manifest.subject} of {size}x{size} pixels, trained from "
        f"scratch on real {films} only. It is the independent classifier of what generated images show, and the "
        f"feature space ({manifest.shape.channels[-1]} numbers {'a film' if films == 'films' else 'an image'}) of the "
        "distances between image sets. It never trained a generator.",
        "",
        "## How to load it",
        "",
        "```python",
        "from pathlib import Path",
        "from xray_generator.evaluation.reference_encoder import load_reference_encoder",
        f'encoder = load_reference_encoder(Path("outputs/encoders/{manifest.name}"))',
        "encoder(images), encoder.probabilities(images)  # images (N, H, W) in [0, 1]",
        "```",
        "",
        "Every file is compared with the SHA-256 in `manifest.json` first.",
        "",
        "## Training data",
        "",
        f"{data['num_train']:,} {films}{whose} (`train` split). {data['num_val']:,} {'' if has_patients else 'other '}"
        f"{films}{' of other patients' * has_patients} served calibration, {data['num_test']:,} of yet others the "
        "figures below.",
        "",
        *(
            f"- {name or 'not stated'}: {count:,} {films}. {ATTRIBUTION.get(name, '')}".rstrip()
            for name, count in sorted(data["sources"].items())
        ),
        "",
        f"Licenses of the data: {manifest.license or 'not stated'}.",
        *_over_classes(manifest),
        "",
        "## Measured on the `test` split",
        "",
        *_table(manifest.metrics["test"], films),
        "",
        f"AUROC compares {films} of the same source; the interval is a bootstrap over patients. *All {films}* compares "
        "across sources too, as others report it, and is flattered by what tells hospitals apart. Balanced accuracy is "
        f"at the threshold found on `val`. A dash: too few {films} say. A label under .75 on either split, or with "
        f"fewer than 10 {films} with or without it in one source, is not used to score.",
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in _limits(manifest)),
        "",
        "## Training",
        "",
        f"Code: commit {manifest.commit}.",
        "",
        "```json",
        json.dumps({"shape": dump(manifest.shape)} | manifest.training, indent=1),
        "```",
    ]
    ModelCard("\n".join(lines) + "\n").save(folder / "README.md")


def _over_classes(manifest: EncoderManifest) -> Iterator[str]:
    if manifest.class_quality:
        yield from ("", "## Which class?", "", "How often the likeliest of all classes is the true one.", "")
        yield from ("| split | images | accuracy [95 %] | of each class |", "| --- | --- | --- | --- |")
    for split, found in manifest.class_quality.items():
        recalls = ", ".join(f"{name} {value:.2f}" for name, value in found.recalls.items())
        yield f"| {split} | {found.n} | {found.accuracy:.3f}{_spread(found.interval)} | {recalls} |"


def _limits(manifest: EncoderManifest) -> tuple[str, ...]:
    if manifest.subject == CHEST:
        return LIMITS
    return (
        "Its labels are those of the data; a class that is alone in its source has no output.",
        f"Images are seen at {manifest.shape.image_size} pixels: what is finer than that is invisible to it.",
        f"As a feature space it knows {manifest.subject} alone; distances in it compare with no distance in another "
        "space.",
    )


def _table(metrics: dict[str, LabelQuality], films: str) -> Iterator[str]:
    yield f"| label | with / without | AUROC [95 %] | balanced accuracy | all {films} | by source |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for label, found in metrics.items():
        sources = ", ".join(f"{name} {value:.2f}" for name, value in found.sources.items()) or "-"
        yield (
            f"| {label} | {found.positives} / {found.negatives} | {_shown(found.auroc)}{_spread(found.interval)} "
            f"| {_shown(found.balanced_accuracy)} | {_shown(found.pooled_auroc)} | {sources} |"
        )


def _spread(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
