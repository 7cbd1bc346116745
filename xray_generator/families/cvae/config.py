"""The settings of a run of the class-conditional variational autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from xray_generator.checkpoints import check_name
from xray_generator.config import check_ranges
from xray_generator.nn.grid import LATTICE, STEM
from xray_generator.requests import MAX_FLOW_STEPS
from xray_generator.training.settings import TrainingConfig
from xray_generator.types import MAX_GUIDANCE, MAX_SIDE, SIDE_MULTIPLE, StudioError

MOST_LEVELS = 3  # so that no latent covers more than one cell of `nn.detail.lattice_bias`

NETWORK_RANGES = {
    "channels": (2, 1_024),
    "encoder_blocks": (0, 16),
    "decoder_blocks": (0, 16),
    "prior_channels": (8, 1_024),
    "prior_blocks": (1, 16),
    "grain_channels": (1, 1_024),
    "grain_blocks": (0, 16),
}
WEIGHTS = ("l1_weight", "l2_weight", "gradient_weight", "energy_weight", "lattice_weight")
PRIOR_RANGES = {
    "class_dropout": (0.0, 0.9),
    "guidance_scale": (0.0, MAX_GUIDANCE),
    "num_inference_steps": (1, MAX_FLOW_STEPS),
}


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The autoencoder's channels at 1/4, 1/8, ... of the side; latents and prior lie at the last of them."""

    channels: tuple[int, ...] = (32, 64, 72)
    encoder_blocks: tuple[int, ...] = (1, 1, 2)
    decoder_blocks: tuple[int, ...] = (2, 2, 2)
    prior_channels: tuple[int, ...] = (32, 64, 64)
    prior_blocks: int = 1  # at each level on the way down, one more on the way up
    grain_channels: int = 32  # at 1/2 of the side
    grain_blocks: int = 2

    def __post_init__(self) -> None:
        check_ranges(self, NETWORK_RANGES)
        if not 1 <= len(self.channels) == len(self.encoder_blocks) == len(self.decoder_blocks) <= MOST_LEVELS:
            raise StudioError(
                f"channels, encoder_blocks and decoder_blocks must each have as many levels, 1 to {MOST_LEVELS}."
            )
        if not self.prior_channels or any(width % 8 for width in self.prior_channels):
            raise StudioError(f"prior_channels must be one or more multiples of 8, not {list(self.prior_channels)}.")

    @property
    def reduction(self) -> int:
        """Pixels a side that one latent position stands for."""
        return STEM << (len(self.channels) - 1)


SIZES: Mapping[int, NetworkConfig] = MappingProxyType(
    {224: NetworkConfig((32, 64), (1, 3), (2, 3)), 448: NetworkConfig()}  # positions of 8 and of 16 pixels: 28 a side
)
TINY = NetworkConfig((8, 8, 16), (1, 1, 1), (1, 1, 1), (8, 16), 1, 8, 1)  # of any other side


@dataclass(frozen=True, slots=True)
class ReconstructionConfig:
    """The reconstruction loss. L1 or L2 alone give the mean of all images that a latent may mean, which is blur."""

    l1_weight: float = 1.0
    l2_weight: float = 0.0
    gradient_weight: float = 1.0  # L1 of finite differences along both axes
    energy_weight: float = 0.5  # L1 of the local root mean square of Haar bands, at three scales
    lattice_weight: float = 3.0  # against the grid that energy alone leaves, see `nn.detail.lattice_bias`

    def __post_init__(self) -> None:
        check_ranges(self, dict.fromkeys(WEIGHTS, (0.0, 1e3)))
        if self.l1_weight + self.l2_weight <= 0:
            raise StudioError("l1_weight or l2_weight must be above 0: the other losses do not fix the gray level.")


@dataclass(frozen=True, slots=True)
class PriorConfig:
    """The learned prior: a flow from noise to the latents of a class."""

    class_dropout: float = 0.1  # share of training without the class; 0: it draws no image without one
    guidance_scale: float = 1.5
    num_inference_steps: int = 14

    def __post_init__(self) -> None:
        check_ranges(self, PRIOR_RANGES)


@dataclass(frozen=True, slots=True)
class CVAEConfig:
    """A whole run."""

    name: str
    size: int  # a row of SIZES, or a small multiple of the least side for tests
    autoencoder_training: TrainingConfig
    prior_training: TrainingConfig
    grain_training: TrainingConfig | None = None  # None: images stay as smooth as the decoder draws them
    family: Literal["cvae"] = "cvae"
    latent_channels: int = 8
    embedding_size: int = 64  # of the class
    beta: float = 1e-3  # weight of the KL divergence to the unit Gaussian, in nats per latent value
    free_bits: float = 0.25  # nats per value below which a latent channel is not pressed further
    crop_size: int = 0  # of the autoencoder's training; 0: half the side
    symmetries: Literal["none", "turns", "all"] = "none"  # that a class keeps: turns by 90 degrees, and the mirror
    latent_variants: int = 4  # of each image, by its symmetries, that teach the prior
    reconstruction: ReconstructionConfig = field(default_factory=ReconstructionConfig)
    prior: PriorConfig = field(default_factory=PriorConfig)
    network: NetworkConfig | None = None  # none: the row of SIZES

    def __post_init__(self) -> None:
        check_name(self.name)
        check_ranges(
            self,
            {
                "size": (4 * SIDE_MULTIPLE, MAX_SIDE),
                "latent_channels": (1, 64),
                "embedding_size": (2, 1_024),
                "beta": (0.0, 1e3),
                "free_bits": (0.0, 1e3),
                "crop_size": (0, self.size),
                "latent_variants": (1, 8),
            },
        )
        step = self.reduction * 2 ** (len(self.shape.prior_channels) - 1)
        if self.size % step:
            raise StudioError(f"size must be a multiple of {step} with these networks, not {self.size}.")
        if self.crop_side % LATTICE:
            raise StudioError(f"crop_size must be a multiple of {LATTICE}, not {self.crop_side}.")

    @property
    def shape(self) -> NetworkConfig:
        """The networks' sizes."""
        return self.network or SIZES.get(self.size, TINY)

    @property
    def crop_side(self) -> int:
        """Side of the training crops in pixels."""
        return self.crop_size or max(LATTICE, self.size // 2 // LATTICE * LATTICE)

    @property
    def reduction(self) -> int:
        """Pixels a side that one latent position stands for."""
        return self.shape.reduction

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the latents of an image."""
        side = self.size // self.reduction
        return self.latent_channels, side, side
