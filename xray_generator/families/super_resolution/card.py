"""The text of a model card."""

from __future__ import annotations

from collections.abc import Iterator

from xray_generator.cards import Card, describe_training, table
from xray_generator.checkpoints import Manifest
from xray_generator.config import parse
from xray_generator.families.super_resolution.config import SuperResolutionConfig

LOADING = """\
```python
from pathlib import Path
import torch
from xray_generator.registry import load_upscaler
upscaler = load_upscaler({family!r}, Path("outputs/checkpoints/{family}/{name}"))
images = torch.zeros(1, 1, 256, 256)  # (B, 1, S, S) in [-1, 1]
larger = upscaler.upscale(images, {size}, {steps}, [torch.Generator().manual_seed(1)])
```"""


def describe(manifest: Manifest) -> Card:
    """The card of a checkpoint."""
    config, steps = parse(SuperResolutionConfig, manifest.config), manifest.recommended.num_inference_steps
    sizes = " and ".join(str(size) for size in manifest.sizes)
    size = manifest.sizes[0]
    return Card(
        tags=("super-resolution",),
        pipeline_tag="image-to-image",
        notice="Its images hold detail that nobody measured.",
        introduction=(
            f"Enlarges {config.subject} to {sizes} pixels. The image is enlarged by bicubic interpolation, and a "
            "rectified flow adds the missing detail. One step gives the mean of all images that fit, which is nearest "
            "to the real one; more steps give a sharper one of them, whose fine lines and grain are made up.",
        ),
        out_of_scope=(
            "Detail below the resolution of the input: it is invented.",
            "Measuring or finding anything in an enlarged image that the input does not show.",
        ),
        loading=LOADING.format(family=manifest.family, name=manifest.name, size=size, steps=steps),
        recommended=f"{steps} steps",
        data=(f"All reach {config.image_size} pixels without being enlarged.",),
        procedure=(_describe_procedure(config),),
        measured=tuple(_describe_quality(manifest, config)),
        limits=(
            "It learned from real images that were scaled down. A generated image has other faults, which are enlarged "
            "too.",
            "Where images are stored as JPEG, its faint blocks are part of the grain that the model learned.",
            "`history/` holds small previews with crops of real validation images.",
        ),
    )


def _describe_procedure(config: SuperResolutionConfig) -> str:
    degradation, (least, greatest) = config.degradation, config.degradation.factors
    return (
        f"{describe_training(config.training, f'crops of {config.crop_size} pixels')}. Loss: mean squared error of the "
        f"velocity from noise to residual, scaled to unit variance; {config.one_step_share:.0%} of each batch at pure "
        f"noise. Images are scaled down {least:g} to {greatest:g} times by area; {1 - degradation.clean_share:.0%} get "
        f"blur (up to {degradation.max_blur:g} pixels) and, independently, as many get noise (up to "
        f"{degradation.max_noise:g}), both of which the network is given as inputs."
    )


def _describe_quality(manifest: Manifest, config: SuperResolutionConfig) -> Iterator[str]:
    quality = manifest.metrics.enlargement
    if not quality:
        return
    header = ("split", "images", "PSNR, one step (dB)", "PSNR, bicubic (dB)", "SSIM, one step")
    rows = (
        (split, found.num_images, f"{found.psnr_db:.2f}", f"{found.bicubic_psnr_db:.2f}", f"{found.ssim:.4f}")
        for split, found in quality.items()
    )
    yield from table(header, rows)
    yield ""
    yield f"Images of {config.image_size} pixels, scaled down to half the side and enlarged again, mean over images."
