"""The settings of networks that several families share; read without torch."""

from __future__ import annotations

from dataclasses import dataclass

from xray_generator.config import check_ranges
from xray_generator.types import StudioError

NORM_GROUPS = 16
UNET_RANGES = {
    "fold": (1, 16),
    "channels": (NORM_GROUPS, 4_096),
    "blocks": (1, 16),
    "attention_levels": (0, 16),
    "dropout": (0.0, 0.9),
}
ENLARGER_RANGES = {"channels": (1, 4_096), "blocks": (1, 64), "embedding_size": (2, 4_096), "window": (0, 64)}
DEGRADATION_RANGES = {"factors": (1.0, 4.0), "max_noise": (0.0, 0.5), "max_blur": (0.0, 4.0), "clean_share": (0.0, 1.0)}
HEAD_CHANNELS = 16  # of a Swin layer's attention


@dataclass(frozen=True, slots=True)
class ClassUNetConfig:
    """A UNet of classes, on pixels folded into channels; self-attention in the bottleneck and at the named levels."""

    fold: int = 4  # pixels a side that become channels
    channels: tuple[int, ...] = (64, 128, 256)  # of each level, the side halved from one to the next
    blocks: int = 2  # residual blocks of a level
    attention_levels: tuple[int, ...] = (1, 2)
    dropout: float = 0.1

    def __post_init__(self) -> None:
        check_ranges(self, UNET_RANGES)
        if len(self.channels) < 2 or any(count % NORM_GROUPS for count in self.channels):
            raise StudioError(f"channels must be two or more multiples of {NORM_GROUPS}, not {self.channels}.")
        if any(level >= len(self.channels) for level in self.attention_levels):
            raise StudioError(f"attention_levels must be below {len(self.channels)}, the number of levels.")

    @property
    def step(self) -> int:
        """What the side of its images must be a multiple of."""
        return self.fold << (len(self.channels) - 1)


@dataclass(frozen=True, slots=True)
class EnlargerConfig:
    """`FlowNetwork`: blocks at a quarter of the side before and after those at an eighth."""

    channels: tuple[int, int] = (48, 128)  # at 1/4 and at 1/8 of the side
    blocks: tuple[int, int] = (2, 4)
    embedding_size: int = 128  # of noise level and degradation
    window: int = 0  # side of the windows of two Swin layers in the middle, at 1/8 of the side; 0: none

    def __post_init__(self) -> None:
        check_ranges(self, ENLARGER_RANGES)
        check_window(self.window, self.channels[1])


@dataclass(frozen=True, slots=True)
class DegradationConfig:
    """How training makes the low-resolution version of an image; the network is given noise and blur as inputs.

    Conditioning augmentation (Ho et al. 2021, arXiv:2106.15282, section 4.2): what is enlarged later was generated, and
    is softer and less true than a real image that was scaled down.
    """

    factors: tuple[float, float] = (1.25, 2.5)  # least and greatest ratio of the sides
    max_noise: float = 0.04  # standard deviation on the low-resolution image, gray from 0 to 1
    max_blur: float = 1.2  # standard deviation of a Gaussian, in pixels of the low-resolution image
    clean_share: float = 0.5  # of the images without noise, and, independently, without blur

    def __post_init__(self) -> None:
        check_ranges(self, DEGRADATION_RANGES)
        if self.factors[0] > self.factors[1]:
            raise StudioError(f"factors must be the least and the greatest, not {self.factors[0]}, {self.factors[1]}.")


def check_window(window: int, channels: int) -> None:
    """Refuse Swin windows that cannot be shifted by half, and channels that are no whole number of heads."""
    if window % 2:
        raise StudioError(f"window must be even, so that it can be shifted by half, not {window}.")
    if window and channels % HEAD_CHANNELS:
        raise StudioError(f"Swin layers need a multiple of {HEAD_CHANNELS} channels, not {channels}.")
