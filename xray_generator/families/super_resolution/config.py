"""The settings of a super-resolution run."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Annotated, Literal

from pydantic import AliasChoices, Field

from xray_generator.checkpoints import check_name
from xray_generator.config import check_ranges
from xray_generator.dicom.hounsfield import WINDOWS, Window
from xray_generator.nn.network_configs import DegradationConfig, EnlargerConfig
from xray_generator.training.settings import TrainingConfig
from xray_generator.types import MAX_SIDE, MAX_STEPS, SIDE_MULTIPLE, StudioError


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
    network: EnlargerConfig = field(default_factory=EnlargerConfig)
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
