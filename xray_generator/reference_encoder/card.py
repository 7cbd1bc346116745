"""The model card of a reference encoder, written from its manifest alone, so that the two cannot disagree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from xray_generator.config import dump
from xray_generator.data.attribution import ATTRIBUTION
from xray_generator.reference_encoder.manifest import CHEST, EncoderManifest

CHEST_LIMITS = (
    "The labels of NIH films are text-mined; about one in ten is wrong, so no figure above can reach 1.",
    "Pneumonia in children was learned from one hospital, with a tight crop; other findings from adults of another.",
    "COVID-19 has no output: all its films come from one hospital, so a network would learn the hospital.",
)


def write_encoder_card(folder: Path, manifest: EncoderManifest) -> None:
    """Write README.md."""
    is_chest, data = manifest.subject == CHEST, manifest.data
    image, images = ("film", "films") if is_chest else ("image", "images")
    has_patients = data["num_patients"] > 1
    header = ModelCardData(
        license="mit",
        library_name="transformers",
        pipeline_tag="image-classification",
        tags=["chest-x-ray" if is_chest else "medical-imaging"],
    )
    sources = "\n".join(
        f"- {name or 'not stated'}: {count:,} {images}. {ATTRIBUTION.get(name, '')}".rstrip()
        for name, count in sorted(data["sources"].items())
    )
    text = f"""---
{header.to_yaml()}
---
# {manifest.name}

**Scores synthetic images. Research and education only. Not for diagnosis.**

A ResNet with {len(manifest.labels)} outputs on {manifest.subject} of {manifest.shape.image_size}x\
{manifest.shape.image_size} pixels, trained from scratch on real {images} only. It is the independent classifier of \
what generated images show, and its features ({manifest.shape.channels[-1]} numbers per {image}) are the space in \
which distances between sets of images are measured. It never trained a generator.

## How to load it

```python
from pathlib import Path
from xray_generator.reference_encoder.model import load_reference_encoder
encoder = load_reference_encoder(Path("outputs/encoders/{manifest.name}"))
encoder(images), encoder.probabilities(images)  # images (N, H, W) in [0, 1]
```

Every file is compared with its SHA-256 in `manifest.json` first.

## Training data

{data["num_train"]:,} {images}{f" of {data['num_patients']:,} patients" if has_patients else ""} (`train` split). \
{data["num_val"]:,} {images} {"of other patients" if has_patients else "more"} were used for calibration, \
{data["num_test"]:,} others for the figures below.

{sources}

Licenses of the data: {manifest.license or "not stated"}.
{_over_classes(manifest)}
## Measured on the `test` split

| label | with / without | AUROC [95 %] | balanced accuracy | all {images} | by source |
| --- | --- | --- | --- | --- | --- |
{chr(10).join(_label_rows(manifest))}

AUROC compares {images} of the same source; the interval is a bootstrap over patients. *All {images}* compares across \
sources too, as others report it, and is inflated by differences between hospitals. Balanced accuracy is at the \
threshold chosen on `val`. A dash: too few {images} are labeled. A label whose AUROC is below .75 on either split, or \
with fewer than 10 {images} with or without it in one source, is not used to score generated images.

## Limits

{chr(10).join(f"- {limit}" for limit in (*(CHEST_LIMITS if is_chest else ()), *_limits(manifest)))}

## Training

Code: commit {manifest.commit}.

```json
{json.dumps({"shape": dump(manifest.shape)} | manifest.training, indent=1)}
```
"""
    ModelCard(text).save(folder / "README.md")


def _over_classes(manifest: EncoderManifest) -> str:
    """The section on accuracy over classes; empty where there are none."""
    if not manifest.class_quality:
        return ""
    rows = "\n".join(
        f"| {split} | {found.n} | {found.accuracy:.3f}{_range(found.interval)} | "
        f"{', '.join(f'{name} {value:.2f}' for name, value in found.recalls.items())} |"
        for split, found in manifest.class_quality.items()
    )
    return f"""
## Accuracy over the classes

How often the likeliest of all classes is the true one.

| split | images | accuracy [95 %] | of each class |
| --- | --- | --- | --- |
{rows}
"""


def _label_rows(manifest: EncoderManifest) -> Iterator[str]:
    for label, found in manifest.metrics["test"].items():
        sources = ", ".join(f"{name} {value:.2f}" for name, value in found.sources.items()) or "-"
        auroc, accuracy, pooled = (
            "-" if value is None else f"{value:.2f}"
            for value in (found.auroc, found.balanced_accuracy, found.pooled_auroc)
        )
        counts = f"{found.positives} / {found.negatives}"
        yield f"| {label} | {counts} | {auroc}{_range(found.interval)} | {accuracy} | {pooled} | {sources} |"


def _limits(manifest: EncoderManifest) -> Iterator[str]:
    if manifest.subject != CHEST:
        yield "Its labels are those of the data; a class that is alone in its source has no output."
    yield f"Images are reduced to {manifest.shape.image_size} pixels; finer detail is invisible to it."
    yield f"Its features know {manifest.subject} alone; distances cannot be compared with those in another space."


def _range(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"
