"""The text of a model card."""

from __future__ import annotations

from collections.abc import Iterator

from xray_generator.cards import Card, describe_recommendation, describe_training, loading_code, table
from xray_generator.checkpoints import Manifest, Metrics, Quality
from xray_generator.config import parse
from xray_generator.families.cvae.config import CVAEConfig
from xray_generator.types import ClassLabel


def describe(manifest: Manifest) -> Card:
    """The card of a checkpoint."""
    config = parse(CVAEConfig, manifest.config)
    counts = ", ".join(f"{label} {count:,}" for label, count in manifest.data.classes.items())
    return Card(
        tags=("microscopy", "cvae"),
        pipeline_tag="unconditional-image-generation",
        notice="Draws synthetic images.",
        introduction=(
            f"Draws gray images of {config.size}x{config.size} pixels of one class: "
            f"{', '.join(f'`{label}`' for label in manifest.labels)}. A class-conditional variational autoencoder "
            f"(latents of {config.latent_channels} channels at 1/{config.reduction} of the side), whose latents are "
            "drawn from a learned prior: a rectified flow from noise to the latents of the class.",
        ),
        out_of_scope=(
            "Counting or measuring structures in its images as if they had been observed.",
            "Replacing real images in the training of a detector without measuring the effect.",
        ),
        loading=loading_code(manifest.name, ClassLabel(manifest.labels[0]), config.size),
        recommended=describe_recommendation(manifest),
        data=(f"By class: {counts}.",),
        procedure=tuple(f"{n}. {text}" for n, text in enumerate(_describe_stages(config), start=1)),
        measured=tuple(_describe_quality(manifest.metrics)),
        limits=(
            "Color is dropped: the model sees and draws gray.",
            "Structures are softer than in the training images: see the sharpness of reconstructions above."
            + (" Grain brings the noise and texture back, not the structures." if config.grain_training else ""),
            "`history/` holds small previews of validation images beside their reconstructions: real images, where the "
            "data are real.",
        ),
        sections={
            "Shape of the images": (
                "Images are square. So are the training images of the sets that ship: every cell used was published "
                "at 360x363 pixels and cropped to 360x360, and phantoms are drawn square, so that no class has an "
                "aspect ratio of its own to draw. Images of other shapes are fitted in whole when they are trained on, "
                "and their padding is left out of the losses; to stretch a drawn image to some ratio would only "
                "distort what it shows.",
            ),
            "Privacy": (
                "The checkpoint holds networks alone, and no latent of any training image: a sample begins at noise, "
                "not at the posterior of an image. That makes memorization less likely; it does not rule it out.",
            ),
        },
    )


def _describe_stages(config: CVAEConfig) -> Iterator[str]:
    weights = config.reconstruction
    parts = (
        (weights.l1_weight, "L1"),
        (weights.l2_weight, "L2"),
        (weights.gradient_weight, "L1 of finite differences"),
        (weights.energy_weight, "L1 of the local energy of detail"),
        (weights.lattice_weight, "bias by position within 16 x 16 pixels"),
        (config.beta, "KL"),
    )
    crops = f"crops of {config.crop_side} pixels"
    yield (
        f"Encoder and decoder: {describe_training(config.autoencoder_training, crops)}. Loss: "
        f"{' + '.join(f'{weight:g} {name}' for weight, name in parts if weight)}, of which {config.free_bits:g} nats "
        "per latent value are free. Padding is left out."
    )
    yield (
        f"Prior: {describe_training(config.prior_training, 'draws from the posteriors of the training images')}. Loss: "
        f"mean squared error of the velocity; the class is dropped {config.prior.class_dropout:.0%} of the time."
    )
    if config.grain_training is not None:
        yield (
            f"Grain: {describe_training(config.grain_training, crops)}. Loss: negative log-likelihood of what "
            "reconstructions of the training images lack, taken for Gaussian noise in four frequency bands whose "
            "strength a network predicts at each position (after Dorta et al. 2018, arXiv:1802.07079). Such grain is "
            "added to each image; it is noise, not learned structure."
        )


def _describe_quality(metrics: Metrics) -> Iterator[str]:
    if not metrics.reconstruction:
        return
    header = ("split", "images", "PSNR (dB)", "SSIM", "sharpness", "sharpness with grain")
    rows = []
    for split, found in metrics.reconstruction.items():
        sharpness = map(_describe_sharpness, (found, metrics.grain.get(split)))
        rows.append((split, found.num_images, f"{found.psnr_db:.2f}", f"{found.ssim:.4f}", *sharpness))
    yield from table(header, rows)
    yield ""
    yield "Reconstructions by encoder and decoder. Sharpness: variance of the Laplacian over that of the image."


def _describe_sharpness(found: Quality | None) -> str:
    return "not measured" if found is None or found.sharpness_ratio is None else f"{found.sharpness_ratio:.2f}"
