"""The settings of a text-to-X-ray latent diffusion run."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Literal

from xray_generator.checkpoints import check_name
from xray_generator.config import check_ranges
from xray_generator.training.settings import TrainingConfig
from xray_generator.types import MAX_GUIDANCE, MAX_SIDE, MAX_STEPS, SIDE_MULTIPLE, StudioError

NORM_GROUPS = 32  # of the UNet's group normalization, as diffusers has it
MAX_TOKENS = 512  # positions of BioBERT

AUTOENCODER_RANGES = {
    "channels": (1, 4_096),
    "encoder_blocks": (0, 64),
    "decoder_blocks": (0, 64),
    "latent_channels": (1, 64),
    "crop_size": (SIDE_MULTIPLE, MAX_SIDE),
    "gradient_weight": (0.0, 1e3),
    "kl_weight": (0.0, 1e3),
    "max_noise": (0.0, 4.0),
    "equivariance_weight": (0.0, 1e3),
}
DETAIL_RANGES = {
    "channels": (1, 4_096),
    "blocks": (1, 64),
    "embedding_size": (2, 4_096),
    "num_inference_steps": (1, MAX_STEPS),
    "one_step_share": (0.01, 1.0),
    "crop_size": (2 * SIDE_MULTIPLE, MAX_SIDE),
    "max_noise": (0.0, 4.0),
}
DECODER_RANGES = {
    "energy_weight": (0.0, 1e3),
    "adversarial_weight": (0.0, 1e3),
    "feature_weight": (0.0, 1e3),
    "critic_channels": (1, 1_024),
    "critic_rate": (0.01, 1e3),
}
TEXT_RANGES = {
    "embedding_size": (1, 4_096),
    "num_layers": (1, 64),
    "num_heads": (1, 64),
    "vocabulary_size": (1, inf),
    "max_length": (4, MAX_TOKENS),
}
UNET_RANGES = {
    "channels": (NORM_GROUPS, 4_096),
    "layers_per_block": (1, 16),
    "num_heads": (1, 64),
    "fold": (1, 4),
    "plain_levels": (0, 16),
}
FEW_STEP_RANGES = {
    "num_steps": (1, 64),
    "teacher_steps": (1, 64),
    "guidance_scale": (0.0, MAX_GUIDANCE),
    "rank": (1, 256),
}
SCHEDULE_RANGES = {
    "num_train_timesteps": (2, 10_000),
    "min_snr_gamma": (0.01, 1e3),
    "high_noise_share": (0.0, 1.0),
    "prompt_dropout": (0.0, 1.0),
    "num_inference_steps": (1, MAX_STEPS),
    "guidance_scale": (0.0, MAX_GUIDANCE),
    "guidance_interval": (0.0, 1.0),
    "guidance_rescale": (0.0, 1.0),
}


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
    max_noise: float = 0.0  # that the decoder learns to bear, in units of each latent channel's standard deviation
    begin_with: str = (
        ""  # checkpoint, run or folder of an autoencoder, whose tensors of equal shape training begins with
    )
    equivariance_weight: float = 0.0  # of latents at half their side, which stand for images at half theirs

    def __post_init__(self) -> None:
        check_ranges(self, AUTOENCODER_RANGES)
        if self.crop_size % SIDE_MULTIPLE:
            raise StudioError(f"crop_size must be a multiple of {SIDE_MULTIPLE}, not {self.crop_size}.")


@dataclass(frozen=True, slots=True)
class DetailConfig:
    """`Refinement`, the second half of decoding: from structure at half the side to the image."""

    channels: tuple[int, int] = (48, 128)  # at 1/4 and at 1/8 of the side
    blocks: tuple[int, int] = (2, 4)
    embedding_size: int = 128
    num_inference_steps: int = 4
    one_step_share: float = 0.125  # of a batch at sigma 1, where a preview takes its single step
    crop_size: int = 128  # of images that reach image_size by themselves
    max_noise: float = 0.2  # on the latents of its training images, see `AutoencoderConfig.max_noise`

    def __post_init__(self) -> None:
        check_ranges(self, DETAIL_RANGES)
        if self.crop_size % SIDE_MULTIPLE:
            raise StudioError(f"crop_size must be a multiple of {SIDE_MULTIPLE}, not {self.crop_size}.")


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """The loss of the decoder's own training, where `decoder_training` is set."""

    energy_weight: float = 3.0  # L1 of the local root mean square of the Laplacian
    adversarial_weight: float = 0.0  # of a patch critic; it sharpens too, and leaves a grid of 4 pixels
    feature_weight: float = 0.0  # L1 of the critic's features
    critic_channels: int = 32
    critic_rate: float = 5.0  # its learning rate over the decoder's: it must keep up with it

    def __post_init__(self) -> None:
        check_ranges(self, DECODER_RANGES)


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

    def __post_init__(self) -> None:
        check_ranges(self, TEXT_RANGES)
        if self.kind == "bert" and self.embedding_size % self.num_heads:
            raise StudioError(f"embedding_size {self.embedding_size} must be a multiple of num_heads {self.num_heads}.")


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """diffusers' `UNet2DConditionModel` on folded latents.

    The image attends to the text in the middle and at all scales but the last one and the first `plain_levels`.
    """

    channels: tuple[int, ...] = (96, 160, 256)
    layers_per_block: int = 1
    num_heads: int = 4
    fold: int = 2  # latents a side that become channels: fewer positions are faster and hold less detail
    plain_levels: int = 0  # finest scales without attention, whose cost grows with the positions

    def __post_init__(self) -> None:
        check_ranges(self, UNET_RANGES)
        if len(self.channels) < 2:
            raise StudioError(f"channels must be 2 numbers or more, one for each scale, not {len(self.channels)}.")
        if self.plain_levels > len(self.channels) - 2:
            raise StudioError(f"plain_levels must leave a scale to the text: at most {len(self.channels) - 2}.")
        for count in self.channels:
            if count % NORM_GROUPS or count % self.num_heads:
                raise StudioError(f"channels must be multiples of {NORM_GROUPS} and of num_heads, not {count}.")


@dataclass(frozen=True, slots=True)
class ScheduleConfig:
    """The noise schedule, and what the checkpoint recommends for sampling."""

    num_train_timesteps: int = 1_000
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "squaredcos_cap_v2"
    prediction_type: Literal["epsilon", "v_prediction", "sample"] = "v_prediction"  # sample: the latents themselves
    min_snr_gamma: float | None = None  # Hang et al. 2023, arXiv:2303.09556; None: every step weighs the same
    balance_errors: bool = False  # divide each latent channel's error by its running mean at that noise level
    high_noise_share: float = 0.0  # of training at timesteps from 50 to 95 % alone, where structure is decided
    prompt_dropout: float = 0.1  # per sample, for classifier-free guidance
    scheduler: Literal["ddim", "ddpm", "dpm++", "unipc"] = "dpm++"
    num_inference_steps: int = 20
    guidance_scale: float = 3.0
    # shares of the timesteps, 0 the image and 1 noise, between which guidance acts
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    guidance_rescale: float = 0.0  # how far its standard deviation goes back to that of the conditional prediction

    def __post_init__(self) -> None:
        check_ranges(self, SCHEDULE_RANGES)
        low, high = self.guidance_interval
        if low > high:
            raise StudioError(
                f"guidance_interval must be two shares of the timesteps, the lowest first, not {low:g}, {high:g}."
            )
        if self.num_inference_steps > self.num_train_timesteps:
            raise StudioError(
                f"num_inference_steps must be num_train_timesteps ({self.num_train_timesteps}) or less, "
                f"not {self.num_inference_steps}."
            )


@dataclass(frozen=True, slots=True)
class FewStepConfig:
    """The adapter for few steps, where `few_step_training` is set."""

    num_steps: int = 4
    teacher_steps: int = 2  # guided DDIM steps in place of which it makes one
    guidance_scale: float = 5.0  # the teacher's, which is built into the adapter
    rank: int = 4

    def __post_init__(self) -> None:
        check_ranges(self, FEW_STEP_RANGES)


@dataclass(frozen=True, slots=True)
class LatentDiffusionConfig:
    """A whole run: autoencoder, detail, denoiser, the decoder once more, and an adapter for few steps.

    With `detail_training`, autoencoder and denoiser work at half of `image_size`, where far more images are sharp, and
    the detail is drawn on top.
    """

    name: str
    autoencoder_training: TrainingConfig
    denoiser_training: TrainingConfig
    detail_training: TrainingConfig | None = None  # None: the autoencoder works at image_size itself
    decoder_training: TrainingConfig | None = None  # None: the decoder stays as the autoencoder's training left it
    few_step_training: TrainingConfig | None = None  # None: no adapter
    family: Literal["latent_diffusion"] = "latent_diffusion"
    image_size: int = 256
    native_repeats: int = 3  # how often an epoch shows an image that is image_size or larger by itself
    rare_repeats: int = 1  # the denoiser's epoch shows images of rare conditions up to this many times as often
    caption_variants: int = 1  # wordings of each caption that the denoiser learns, the caption itself among them
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    detail: DetailConfig = field(default_factory=DetailConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    text_encoder: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    few_step: FewStepConfig = field(default_factory=FewStepConfig)
    begin_with: str = ""  # checkpoint whose tensors of the same names and shapes training begins with
    remarks: tuple[str, ...] = ()  # what the settings do not say of how it was trained; for the card

    def __post_init__(self) -> None:
        check_name(self.name)
        check_ranges(
            self,
            {
                "image_size": (4 * SIDE_MULTIPLE, MAX_SIDE),
                "native_repeats": (1, 1_000),
                "rare_repeats": (1, 1_000),
                "caption_variants": (1, 64),
            },
        )
        if self.image_size % (4 * SIDE_MULTIPLE):
            raise StudioError(f"image_size must be a multiple of {4 * SIDE_MULTIPLE}, not {self.image_size}.")
        if self.detail_training is not None and self.detail.crop_size > self.image_size:
            raise StudioError(f"detail.crop_size must be image_size ({self.image_size}) or less.")
        if self.schedule.prediction_type == "epsilon" and self.schedule.beta_schedule == "squaredcos_cap_v2":
            raise StudioError(  # x_0 = (x_t - sqrt(1 - a) eps) / sqrt(a), and sqrt(a) is 5e-5 where sampling begins
                "prediction_type must be v_prediction or sample with beta_schedule squaredcos_cap_v2, whose last step "
                "holds no image to subtract noise from; epsilon goes with linear or scaled_linear."
            )

    @property
    def structure_size(self) -> int:
        """Pixels a side of the images that autoencoder and denoiser see."""
        return self.image_size // (1 if self.detail_training is None else 2)
