"""A checkpoint's folder becomes an engine: verified, complete, finite, in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from safetensors import SafetensorError, safe_open

from xray_generator.checkpoints import Manifest, read_manifest, verify
from xray_generator.config import parse
from xray_generator.devices import pick_device
from xray_generator.families.latent_diffusion.attention import WatchedAttention
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig
from xray_generator.families.latent_diffusion.engine import LatentDiffusionEngine
from xray_generator.families.latent_diffusion.model import FEW_STEP, LatentDiffusion, LatentStatistics
from xray_generator.families.latent_diffusion.text import LOADING, TextEncoder
from xray_generator.nn.compact_autoencoder import CompactAutoencoder
from xray_generator.types import StudioError


def load_engine(folder: Path, device: str | None = None, pretrained: str | None = None) -> LatentDiffusionEngine:
    """Verify a checkpoint folder against its manifest and load it in float32; for `pretrained` see `TextEncoder.load`.

    Raises:
        StudioError: damaged, incomplete, or not of this architecture.
    """
    manifest = read_manifest(folder)
    verify(folder, manifest)
    config = parse(LatentDiffusionConfig, manifest.config)
    target = pick_device(device)
    try:
        model = _load_model(folder, manifest, config, target, pretrained)
    except StudioError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')[:200]}"
        raise StudioError(f"The checkpoint {folder.name} cannot be loaded ({reason}).") from error
    return LatentDiffusionEngine(model, manifest, target, config.few_step)


def _load_model(
    folder: Path, manifest: Manifest, config: LatentDiffusionConfig, device: torch.device, pretrained: str | None
) -> LatentDiffusion:
    autoencoder = CompactAutoencoder.from_pretrained(folder / "autoencoder", **LOADING)
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", **LOADING)
    text_encoder = TextEncoder.load(folder, pretrained)
    _check_tensors(autoencoder, folder / "autoencoder")
    _check_tensors(unet, folder / "unet")
    if text_encoder.is_frozen:
        _check_tensors(text_encoder.projection, folder / "text_projection")
    else:
        _check_tensors(text_encoder.transformer, folder / "text_encoder")
    few_step = None
    if FEW_STEP in manifest.schedulers:
        from xray_generator.families.latent_diffusion.few_step import merged

        few_step = merged(unet.float(), folder / FEW_STEP)
        few_step.set_attn_processor(WatchedAttention())
    unet.set_attn_processor(WatchedAttention())
    statistics = LatentStatistics.from_json(manifest.preprocessing)
    channels = {*statistics.mean.shape, *statistics.std.shape, *statistics.axes.shape}
    if channels | {statistics.fold**2 * autoencoder.config.latent_channels} != {unet.config.in_channels}:
        raise ValueError(f"its parts have different numbers of latent channels: {sorted(channels)}")
    return LatentDiffusion(
        _ready(autoencoder, device),
        _ready(unet, device),
        _ready(text_encoder, device),
        statistics,
        config.schedule,
        config.image_size,
        None if few_step is None else _ready(few_step, device),
    )


def _check_tensors(module: Any, folder: Path) -> None:  # noqa: ANN401 - see _ready
    """The files must hold exactly the module's tensors: the libraries fill what is missing with random numbers."""
    stored: set[str] = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            stored.update(file.keys())
    expected = set(module.state_dict())
    if stored != expected:
        names = ", ".join(sorted(stored ^ expected)[:3])
        raise ValueError(
            f"{folder.name} lacks {len(expected - stored)} tensors and has {len(stored - expected)} unknown: {names}"
        )


def _ready(module: Any, device: torch.device) -> Any:  # noqa: ANN401 - diffusers and transformers share no typed base
    module = module.float().eval().requires_grad_(requires_grad=False).to(device, memory_format=torch.channels_last)
    for name, value in module.state_dict().items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise StudioError(f"The weights are damaged: {name} holds values that are not numbers.")
    return module
