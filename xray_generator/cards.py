"""Model cards: one layout for every family, filled from the manifest and a family's text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import ModelCard, ModelCardData

from xray_generator.checkpoints import CARD, Manifest
from xray_generator.data.attribution import source_table
from xray_generator.types import PURPOSE, ClassLabel, Condition, TextPrompt

if TYPE_CHECKING:
    from xray_generator.training.settings import TrainingConfig

NOT_CLINICAL = "Diagnosis, triage, or any other clinical use."
LOADING = """\
```python
from pathlib import Path
from xray_generator.requests import make_request
from xray_generator.studio import Studio
from xray_generator.types import {kind}
studio, request = Studio(Path("outputs")), make_request({condition}, seed=1, size={size})
for image in studio.save(studio.generate(request, {name!r}), Path("outputs/generated")):
    print(image.path)
```"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A family's text about one checkpoint; each paragraph is Markdown."""

    tags: tuple[str, ...]
    pipeline_tag: str
    notice: str  # before the sentence on the purpose
    introduction: Sequence[str]  # what it draws, and how
    out_of_scope: Sequence[str]  # bullets, after the clinical one
    loading: str  # code that loads it, see `loading_code`
    recommended: str  # settings
    images: str = "images"  # how its data are called
    data: Sequence[str] = ()  # on the training data, after the counts
    procedure: Sequence[str] = ()
    measured: Sequence[str] = ()  # empty: not measured
    limits: Sequence[str] = ()  # bullets
    sections: Mapping[str, Sequence[str]] = field(default_factory=dict)  # further lines by heading, before the settings


def loading_code(name: str, condition: Condition, size: int) -> str:
    """Code that draws an image for a condition and saves it."""
    match condition:
        case TextPrompt(text):
            value = repr(text)
        case ClassLabel(label):
            value = repr(label)
        case _:
            value = ""
    kind = type(condition).__name__
    return LOADING.format(kind=kind, condition=f"{kind}({value})", size=size, name=name)


def describe_recommendation(manifest: Manifest) -> str:
    """The recommended settings as the end of a sentence."""
    recommended = manifest.recommended
    return (
        f"scheduler {recommended.scheduler}, {recommended.num_inference_steps} steps, "
        f"guidance {recommended.guidance_scale:g}"
    )


def describe_training(training: TrainingConfig, items: str = "images") -> str:
    """A stage of training in half a sentence."""
    batch = training.batch_size * training.gradient_accumulation_steps
    most = "at most " * (training.patience is not None)
    best = "lowest" if training.best_is == "lower" else "highest"
    kept = f", the weights of the {best} {training.best_by} of all validations" * bool(training.best_by)
    optimizer = f"AdamW, learning rate {training.learning_rate:g}"
    if training.optimizer == "muon":
        optimizer = f"Muon between hidden layers, learning rate {training.muon_rate:g}, and {optimizer}, for the rest"
    schedule = (
        f"constant, falling to 0 over the last {training.decay_share:.0%}"
        if training.lr_schedule == "plateau"
        else training.lr_schedule
    )
    steps = f"{most}{training.num_steps:,} steps of {batch} {items}"
    return f"{steps}, {optimizer} ({schedule}), seed {training.seed}{kept}"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = (header, ("---",) * len(header), *rows)
    return [f"| {' | '.join(str(cell) for cell in line)} |" for line in lines]


def write_card(folder: Path, manifest: Manifest, card: Card) -> None:
    """Write README.md; it holds nothing but what the manifest and the card's text say."""
    header = ModelCardData(license="mit", pipeline_tag=card.pipeline_tag, tags=[*card.tags, "synthetic"])
    data = manifest.data
    counts = (
        f"{data.num_train:,} {card.images} of the `train` split; {data.num_val:,} more were used for validation and "
        f"{data.num_test:,} kept for tests."
    )
    provenance = f"The weights are exponential moving averages, stored in 16 bit. Code: commit {manifest.commit}."
    sections = {
        "Out of scope": _bullets((NOT_CLINICAL, *card.out_of_scope)),
        "How to load it": _paragraphs(
            "From the root of the repository that made it:",
            card.loading,
            f"Recommended: {card.recommended}. Every file is first checked against its SHA-256 in `manifest.json`.",
        ),
        "Training data": [
            *_paragraphs(counts, *card.data),
            "",
            *source_table(data.sources, data.licenses, card.images),
        ],
        "Procedure": _paragraphs(*card.procedure, provenance),
        "Measured": card.measured or ("Not measured.",),
        "Limits": _bullets(card.limits),
        **dict(card.sections),
        "All settings": ("```json", json.dumps(manifest.config, indent=1), "```"),
    }
    lines = ["---", header.to_yaml(), "---", f"# {manifest.name}", "", f"**{card.notice} {PURPOSE}**", ""]
    lines += _paragraphs(*card.introduction)
    for heading, body in sections.items():
        lines += ["", f"## {heading}", "", *body] if body else []
    ModelCard("\n".join(lines) + "\n").save(folder / CARD)


def _paragraphs(*texts: str) -> list[str]:
    return [line for text in texts for line in (text, "")][:-1]


def _bullets(texts: Iterable[str]) -> list[str]:
    return [f"- {text}" for text in texts]
