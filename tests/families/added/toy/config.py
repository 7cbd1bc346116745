"""The settings of a run."""

from dataclasses import dataclass
from typing import Literal

from xray_generator.training.settings import TrainingConfig


@dataclass(frozen=True, slots=True)
class ToyConfig:
    """A whole run."""

    name: str
    training: TrainingConfig
    family: Literal["toy"] = "toy"
    image_size: int = 32
    channels: int = 8
    num_inference_steps: int = 3
