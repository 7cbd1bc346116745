"""The settings of a super-resolution run."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Annotated, Literal

from pydantic import AliasChoices, Field

from xray_generator.checkpoints import check_name
from xray_generator.config import check_ranges
from xray_generator.dicom.hounsfield import WINDOWS, Window
from xray_generator.training.settings import TrainingConfig
from xray_generator.types import MAX_SIDE, MAX_STEPS, SIDE_MULTIPLE, StudioError

NETWORK_RANGES = {"channels": (1, 4_096), "blocks": (1, 64), "embedding_size": (2, 4_096)}
DEGRADATION_RANGES = {"factors": (1.0, 4.0), "max_noise": (0.0, 0.5), "max_blur": (0.0, 4.0), "clean_share": (0.0, 1.0)}


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """`FlowNetwork`: blocks at a quarter of the side before and after those at an eighth."""

    channels: tuple[int, int] = (48, 128)  # at 1/4 and at 1/8 of the side
    blocks: tuple[int, int] = (2, 4)
    embedding_size: int = 128  # of noise level and degradation

    def __post_init__(self) -> None:
        check_ranges(self, NETWORK_RANGES)


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


@dataclass(frozen=True, slots=True)
class SuperResolutionConfig:
    """A whole run."""

    name: str
    training: TrainingConfig
    family: Literal["super_resolution"] = "super_resolution"
    modality: Literal["DX", "CT"] = "DX"  # of its training images, and of those that it is offered for
    subject: str = "frontal chest X-rays"  # for the card
    image_size: Annotated[int, Field(validation_alias=AliasChoices("image_size", "film_size"))] = 512
    # side of the training images, none of which is enlarged to it; older settings call it film_size
    crop_size: int = 128
    sizes: tuple[int, ...] = (512, 768)  # that the checkpoint is meant for
    one_step_share: float = 0.375  # of a batch at sigma 1, the only level of single-step enlargement
    num_inference_steps: int = 4
    network: NetworkConfig = field(default_factory=NetworkConfig)
    degradation: DegradationConfig = field(default_factory=DegradationConfig)
    window: Window = field(default_factory=lambda: WINDOWS["lung"])  # that gray 0 to 1 stand for, of CT in DICOM

    def __post_init__(self) -> None:
        check_name(self.name)
        check_ranges(
            self,
            {
                "image_size": (4 * SIDE_MULTIPLE, inf),
                "crop_size": (2 * SIDE_MULTIPLE, self.image_size),
                "sizes": (SIDE_MULTIPLE, MAX_SIDE),
                "one_step_share": (0.01, 1.0),
                "num_inference_steps": (1, MAX_STEPS),
            },
        )
        if not self.sizes:
            raise StudioError("sizes must name one side or more.")
        for name, side in (("crop_size", self.crop_size), *(("sizes", size) for size in self.sizes)):
            if side % SIDE_MULTIPLE:
                raise StudioError(f"{name} must be a multiple of {SIDE_MULTIPLE}, not {side}.")
