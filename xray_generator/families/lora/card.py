"""The text of an adapter's model card."""

from __future__ import annotations

from xray_generator.cards import Card, describe_recommendation, describe_training, loading_code
from xray_generator.checkpoints import Manifest
from xray_generator.config import parse
from xray_generator.data.rows import finding_name
from xray_generator.families.lora.config import LoraConfig
from xray_generator.types import TextPrompt


def describe(manifest: Manifest) -> Card:
    """The card of a checkpoint."""
    config = parse(LoraConfig, manifest.config)
    base = manifest.base.full_name if manifest.base else config.base
    where = "the attention of its denoiser" + (" and of its text encoder" if config.adapts_text_encoder else "")
    prior = (
        f" The same error on {config.num_prior_images} images that the base drew of {config.prior_prompt!r} is added, "
        f"times {config.prior_weight:g}, so that it is not forgotten."
        if config.prior_weight
        else ""
    )
    conditions = " or ".join(finding_name(name) for name in config.conditions)
    chosen = f" It learned from images of {conditions} alone." if conditions else ""
    return Card(
        tags=("lora", "text-to-image", "x-ray"),
        pipeline_tag="text-to-image",
        notice="Draws patients who do not exist.",
        introduction=(
            f"An adapter of `{base}`: it changes {where} by low-rank matrices (LoRA, rank {config.rank}) and needs the "
            "base beside it, whose weights it names by their hash. Its file is named as diffusers names it." + chosen,
        ),
        out_of_scope=("Findings that neither its base nor its own images show.",),
        loading=loading_code(manifest.name, TextPrompt("Chest X-ray, PA view"), manifest.sizes[0]),
        recommended=describe_recommendation(manifest),
        procedure=(
            f"{describe_training(config.training, 'images')}. Loss: the denoising error of the base.{prior}",
            *config.remarks,
        ),
        limits=("What its base draws poorly it draws poorly, but for what its own images teach.",),
    )
