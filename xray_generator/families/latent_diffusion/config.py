"""The settings of a text-to-X-ray latent diffusion run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from xray_generator.checkpoints import check_name
from xray_generator.training.task import TrainingConfig
from xray_generator.types import SIDE_MULTIPLE, StudioError


@dataclass(frozen=True, slots=True)
class AutoencoderConfig:
    """`CompactAutoencoder` and its loss."""

    channels: tuple[int, int] = (48, 128)
    encoder_blocks: tuple[int, int] = (1, 3)
    decoder_blocks: tuple[int, int] = (2, 3)
    latent_channels: int = 8
    crop_size: int = 128  # training sees crops at native resolution, never enlarged images
    gradient_weight: float = 1.0  # L1 of finite differences, against blur
    kl_weight: float = 1e-6


@dataclass(frozen=True, slots=True)
class TextEncoderConfig:
    """A small BERT trained with the denoiser, or a frozen pretrained one with a trained projection."""

    kind: Literal["bert", "pretrained"] = "bert"
    name_or_path: str = "dmis-lab/biobert-base-cased-v1.1"  # of kind "pretrained": hub name or local folder
    embedding_size: int = 192
    num_layers: int = 4
    num_heads: int = 4
    vocabulary_size: int = 2_000
    max_length: int = 128  # tokens


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """diffusers `UNet2DConditionModel` on folded latents; text attends at the first two scales and in the middle."""

    channels: tuple[int, ...] = (96, 160, 256)
    layers_per_block: int = 1
    num_heads: int = 4


@dataclass(frozen=True, slots=True)
class ScheduleConfig:
    """The noise schedule, and what the checkpoint recommends for sampling."""

    num_train_timesteps: int = 1_000
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "squaredcos_cap_v2"
    prediction_type: Literal["epsilon", "v_prediction"] = "v_prediction"
    min_snr_gamma: float | None = None  # Hang et al. 2023, arXiv:2303.09556; None: every step weighs the same
    prompt_dropout: float = 0.1  # per sample, for classifier-free guidance
    scheduler: str = "dpm++"
    num_inference_steps: int = 20
    guidance_scale: float = 3.0


@dataclass(frozen=True, slots=True)
class LatentDiffusionConfig:
    """A whole run: two stages, autoencoder then denoiser."""

    name: str
    autoencoder_training: TrainingConfig
    denoiser_training: TrainingConfig
    family: Literal["latent_diffusion"] = "latent_diffusion"
    image_size: int = 256
    native_repeats: int = 3  # how often an epoch shows an image that is image_size or larger by itself
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    text_encoder: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.image_size < 4 * SIDE_MULTIPLE or self.image_size % (4 * SIDE_MULTIPLE):
            raise StudioError(f"image_size must be a multiple of {4 * SIDE_MULTIPLE}, not {self.image_size}.")
