"""The data card of a set: what it is, how it was made, what it took, and what its labels are worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from huggingface_hub import DatasetCardData

from xray_generator.cards import NOT_CLINICAL, table
from xray_generator.data.attribution import source_table
from xray_generator.sets.columns import COLUMNS, MEANING
from xray_generator.sets.formats import Format
from xray_generator.sets.gate import COPY
from xray_generator.sets.plan import IMAGES, Series, label_of
from xray_generator.sets.summary import Summary
from xray_generator.sets.writing import Opening
from xray_generator.types import NOTICE

SPLITS = {"train": "train", "val": "validation", "test": "test"}  # as Hugging Face calls them
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
LARGEST = "1M<n<10M"

LOADING = (
    "```python",
    "from datasets import load_dataset",
    'images = load_dataset("FOLDER")  # or load_dataset("imagefolder", data_dir="FOLDER/images")',
    "```",
    "",
    f"`{IMAGES}/` holds a folder for each split, with one for each label; `labels.csv` has a line for each image.",
)


def describe_set(series: Series, opening: Opening, summary: Summary, formats: Sequence[Format]) -> str:
    """README.md of a set: a header that Hugging Face reads, and the text."""
    plan = series.plan
    header = DatasetCardData(
        license=plan.license,
        pretty_name=plan.name,
        tags=["synthetic", "medical", "croissant"],
        task_categories=["image-classification"],
        size_categories=[next((name for most, name in SIZES if summary.num_images < most), LARGEST)],
        configs=[_config(summary, formats)],
    )
    sections = {
        "What it holds": list(_describe_content(series, summary)),
        "How it was made": _describe_making(opening, summary),
        "How to load it": LOADING,
        "The gate": list(_describe_gate(opening, summary)),
        "Columns": [f"- `{name}`: {MEANING[name]}" for name in COLUMNS],
        "Out of scope": [f"- {NOT_CLINICAL}"],
        "Limits": [
            "- A label is what the model was asked for. Nobody read these images; see the gate for what was judged.",
            "- What the model learned wrongly is in every image; more images do not mend that.",
        ],
        "Data that the model learned from": list(
            source_table(series.manifest.data.sources, series.manifest.data.licenses)
        ),
    }
    lines = ["---", header.to_yaml(), "---", f"# {plan.name}", "", f"**{NOTICE}**"]
    for heading, body in sections.items():
        lines += ["", f"## {heading}", "", *body]
    return "\n".join(lines) + "\n"


def _describe_content(series: Series, summary: Summary) -> Iterator[str]:
    splits = ", ".join(f"{count:,} {name}" for name, count in sorted(summary.splits.items()))
    yield from (f"{summary.num_images:,} images in {splits}.", "")
    real = _count_real(series)
    yield from table(
        ("label", "asked for", "in the set", "real images"),
        ((name, f"{count:,}", f"{summary.kept[name]:,}", real[name]) for name, count in sorted(summary.asked.items())),
    )


def _config(summary: Summary, formats: Sequence[Format]) -> dict[str, Any]:
    """Where Hugging Face finds the splits; a card may name files of one format only."""
    place = "parquet/{}-*.parquet" if "parquet" in formats else f"{IMAGES}/{{}}/**"
    names = {split: name for split, name in SPLITS.items() if summary.splits[split]}
    files = [{"split": name, "path": place.format(split)} for split, name in names.items()]
    return {"config_name": "default", "data_files": files}


def _count_real(series: Series) -> dict[str, str]:
    """The real images of all cells of each label, where the plan states them."""
    counts: dict[str, list[int | None]] = {}
    for cell, row in series.kinds():
        counts.setdefault(label_of(row), []).append(cell.real)
    return {
        label: "not counted" if None in found else f"{sum(filter(None, found)):,}" for label, found in counts.items()
    }


def _describe_making(opening: Opening, summary: Summary) -> list[str]:
    plan, upscaler = opening.plan, opening.upscaler
    enlarged = f", enlarged by {upscaler.full_name} (weights {upscaler.sha256[:12]})" if upscaler else ""
    return [
        f"Drawn by {opening.checkpoint.full_name} (weights {opening.checkpoint.sha256[:12]}){enlarged}, from the plan "
        "in `plan.json`. Image i depends on the plan, the weights and i alone; each PNG carries the recipe that draws "
        "it again. `labels.csv` holds the hash of each image, and `manifest.json` those of the other files.",
        "",
        f"{len(summary.runtimes)} kind{'s'[: len(summary.runtimes) != 1]} of machine drew it, listed in "
        f"`manifest.json`. The seed of the plan is {plan.seed}.",
    ]


def _describe_gate(opening: Opening, summary: Summary) -> Iterator[str]:
    marks, gate = opening.yardsticks, opening.plan.gate
    share = summary.num_images / summary.draws
    yield (
        f"{summary.draws:,} draws gave {summary.num_images:,} images, a yield of {share:.1%}; {summary.left_out:,} "
        f"images passed in none of {gate.attempts} attempts and are left out, in `left_out/`."
    )
    yield ""
    if marks.labels:
        yield (
            f"- Classifier {marks.classifier} ({gate.agrees}): it could judge {summary.judged:,} images of the set, "
            f"and sees what was asked for in {summary.agreeing:,}. It judges {', '.join(marks.labels)}."
        )
    else:
        yield "- Classifier: not asked. Whether the images show what they were asked for was not measured."
    if marks.space:
        yield (
            f"- Copies ({gate.is_no_copy}): {summary.marked_copies:,} images of the set are marked as {COPY}, in "
            f"pixels or in {marks.space}, among {marks.num_training:,} training images; the threshold is that of "
            f"{marks.num_unseen:,} unseen ones."
        )
    else:
        yield "- Copies: not sought. Whether an image copies a training image was not measured."
    if summary.reasons:
        reasons = sorted(summary.reasons.items(), key=lambda pair: (-pair[1], pair[0]))
        yield from ("", "Why images were drawn again or left out:", "")
        yield from table(("reason", "draws"), ((reason, f"{count:,}") for reason, count in reasons))
