"""The text of a cascade's model card."""

from __future__ import annotations

from collections.abc import Iterator

from xray_generator.cards import Card, describe_recommendation, describe_training, loading_code, table
from xray_generator.checkpoints import Manifest
from xray_generator.config import parse
from xray_generator.families.cascade.config import CascadeConfig
from xray_generator.types import ClassLabel, Unconditional

DDPM = "DDPM, Ho et al. 2020, arXiv:2006.11239"


def describe(manifest: Manifest) -> Card:
    """The card of a checkpoint."""
    config = parse(CascadeConfig, manifest.config)
    condition = ClassLabel(config.labels[0]) if config.labels else Unconditional()
    classes = f"by class ({', '.join(config.labels)}) or without a class" if config.labels else "without classes"
    counts = ", ".join(f"{name} {count:,}" for name, count in manifest.data.classes.items())
    sides = ", then ".join(str(side) for side in reversed(config.sizes))
    others = set(manifest.data.classes) - set(config.labels)
    bottleneck = (
        f"two Swin layers (Liu et al. 2021, arXiv:2103.14030) with windows of {config.base.window} positions, the "
        "second ones shifted by half"
        if config.base.window
        else "self-attention"
    )
    return Card(
        tags=("diffusion", "super-resolution"),
        pipeline_tag="unconditional-image-generation",
        notice="Draws slices of patients who do not exist.",
        introduction=(
            f"Draws {config.subject} {classes}, at {sides} pixels: a diffusion model ({DDPM}) draws the smallest, "
            "and each further stage enlarges what the one before drew, a rectified flow adding the detail."
            if config.stages
            else f"Draws {config.subject} {classes} at {sides} pixels by one diffusion model ({DDPM}).",
            f"In the middle of the base model: {bottleneck}."
            + " The networks that enlarge have two Swin layers too."
            * any(s.config.network.window for s in config.stages),
        ),
        out_of_scope=(
            "Volumes: slices are drawn one by one and do not fit together.",
            "Finding or grading a tumor: a class is that of the whole slice.",
        ),
        loading=loading_code(manifest.name, condition, config.sizes[0]),
        recommended=describe_recommendation(manifest),
        images="slices",
        data=(
            *([f"By class: {counts}."] if counts else []),
            *(["Slices of classes that the model does not draw were used without their class."] if others else []),
        ),
        procedure=(*_describe_procedure(config), *config.remarks),
        measured=tuple(_describe_stages(manifest)),
        limits=(
            *(
                ["The base model decides what is seen: further stages sharpen edges, and add no structure."]
                * bool(config.stages)
            ),
            "A slice may not show what its class names, and what looks like it is no patient's.",
            "A class is all that can be asked for: no plane, sequence or side.",
        ),
    )


def _describe_procedure(config: CascadeConfig) -> Iterator[str]:
    base, moved = config.base, config.base.augmentation
    predicted = "velocity" if base.prediction_type == "v_prediction" else "image"
    yield (
        f"Base, {base.image_size} pixels: {describe_training(config.base_training, 'slices')}. Loss: mean squared "
        f"error of the {predicted} at timesteps spread evenly over {base.num_train_timesteps:,}. The class is dropped "
        f"for {base.class_dropout:.0%} of the images. Each image is rotated by up to {moved.turn:g} radians, scaled by "
        f"up to {moved.zoom:.0%} and shifted by up to {moved.shift:.0%} of the side, never mirrored."
    )
    for name, stage, training in config.stages:
        degradation, (least, greatest) = stage.degradation, stage.degradation.factors
        yield (
            f"{name.upper()}, {stage.image_size} pixels: "
            f"{describe_training(training, f'crops of {stage.crop_size} pixels')}. Loss: mean squared error of the "
            f"velocity from noise to residual; {stage.one_step_share:.1%} of each batch at pure noise. Images are "
            f"scaled down {least:g} to {greatest:g} times by area; {1 - degradation.clean_share:.0%} get blur (up to "
            f"{degradation.max_blur:g} pixels) and, independently, {1 - degradation.clean_share:.0%} get noise (up to "
            f"{degradation.max_noise:g}), both of which the network is given as inputs. In use it draws in "
            f"{'one step' if stage.num_inference_steps == 1 else f'{stage.num_inference_steps} steps'}"
            + f", and noise of {stage.noise:g} is added before" * (stage.noise > 0)
            + "."
        )


def _describe_stages(manifest: Manifest) -> Iterator[str]:
    quality = manifest.metrics.enlargement
    if not quality:
        return
    header = ("stage, split", "slices", "PSNR, one step (dB)", "PSNR, bicubic (dB)", "SSIM, one step")
    rows = (
        (name, found.num_images, f"{found.psnr_db:.2f}", f"{found.bicubic_psnr_db:.2f}", f"{found.ssim:.4f}")
        for name, found in quality.items()
    )
    yield from table(header, rows)
    yield from (
        "",
        "Real slices, scaled down to half the side and enlarged again by one stage, mean over slices. "
        "These are not the images that the model draws by itself: `python -m xray_generator.evaluate` measures those.",
    )
