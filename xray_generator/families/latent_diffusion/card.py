"""The model card of a checkpoint: what it is, what it was trained on, what was measured, what it is not for."""

from __future__ import annotations

import json
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from xray_generator.checkpoints import Manifest
from xray_generator.types import NOTICE

ATTRIBUTION = {
    "nih_chestxray14": "NIH ChestX-ray14: data provided by the NIH Clinical Center, "
    "https://nihcc.app.box.com/v/ChestXray-NIHCC; Wang X et al., CVPR 2017, 3462-3471.",
    "kermany_pediatric": "Kermany D, Zhang K, Goldbaum M (2018), Mendeley Data V2, "
    "doi:10.17632/rscbjbr9sj.2, CC BY 4.0.",
    "hannover_covid": "Winther HB et al., COVID-19 Image Repository, Hannover Medical School, "
    "doi:10.6084/m9.figshare.12275009, CC BY 3.0.",
}


BIASES = {
    "nih_chestxray14": "NIH labels are text-mined (about 10 % wrong). Most adult findings were seen only in enlarged "
    "128-pixel images, so they are drawn less sharply and less surely than pneumonia.",
    "kermany_pediatric": "Nearly all full-resolution children come from one hospital, with a tight crop.",
    "hannover_covid": "COVID-19 films are mostly bedside AP films with tubes and lines.",
}


def write_card(folder: Path, manifest: Manifest) -> None:
    """Write README.md from the manifest alone, so that the two cannot disagree."""
    header = ModelCardData(
        license="mit", library_name="diffusers", pipeline_tag="text-to-image", tags=["chest-x-ray", "synthetic"]
    )
    sources = [
        f"- {name}: {count:,} images. {ATTRIBUTION.get(name, '')}".rstrip()
        for name, count in sorted(manifest.data.get("sources", {}).items())
    ]
    config = manifest.config
    lines = [
        "---", header.to_yaml(), "---", f"# {manifest.name}", "", f"**{NOTICE}**", "",
        "Text-to-chest-X-ray latent diffusion: a compact autoencoder (latents at 1/8 of the side), a cross-attention "
        "UNet on folded latents, and a text encoder.",
        "", "## Intended use", "",
        "Research and teaching on synthetic images. Not for diagnosis, and not as evidence about any patient.",
        "", "## Training data", "",
        f"{manifest.data.get('num_train', 0):,} images of the `train` split, of which "
        f"{manifest.data.get('num_full_resolution', 0):,} reach {config['image_size']} pixels by themselves; the "
        "others were enlarged and marked so to the model.", "", *sources,
        "", "## Training", "",
        f"Steps: {', '.join(f'{stage} {steps:,}' for stage, steps in manifest.steps.items())}. "
        f"Code: commit {manifest.commit}.", "", "```json", json.dumps(config, indent=1), "```",
        "", "## Measured", "", "```json", json.dumps(manifest.metrics, indent=1), "```",
        "", "Whatever is not listed above was not measured.",
        "", "## Known biases", "",
        *(f"- {BIASES[name]}" for name in sorted(manifest.data.get("sources", {})) if name in BIASES),
        "- A prompt word outside the vocabulary has no learnt meaning.",
    ]  # fmt: skip
    ModelCard("\n".join(lines) + "\n").save(folder / "README.md")
