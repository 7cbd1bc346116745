"""The settings of a flow-matching run."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Literal

from xray_generator.checkpoints import check_name
from xray_generator.config import check_ranges
from xray_generator.dicom.hounsfield import WINDOWS, Window
from xray_generator.nn.network_configs import ClassUNetConfig
from xray_generator.requests import MAX_FLOW_STEPS
from xray_generator.training.settings import AugmentationConfig, TrainingConfig
from xray_generator.types import MAX_GUIDANCE, MAX_SIDE, SIDE_MULTIPLE, ClassLabel, StudioError

Solver = Literal["euler", "heun", "dopri5"]
Coupling = Literal["independent", "optimal_transport"]


@dataclass(frozen=True, slots=True)
class FlowMatchingConfig:
    """A whole run."""

    name: str
    training: TrainingConfig
    family: Literal["flow_matching"] = "flow_matching"
    image_size: int = 128
    labels: tuple[str, ...] = ()  # classes to draw; images of any other class teach what a slice is, and no class
    window: Window = field(default_factory=lambda: WINDOWS["lung"])  # that gray 0 to 1 stand for
    network: ClassUNetConfig = field(default_factory=ClassUNetConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    coupling: Coupling = "independent"
    sigma_mean: float = 0.0  # of the logit of sigma, normally distributed (Esser et al. 2024, arXiv:2403.03206, eq. 19)
    sigma_std: float = 1.0
    class_dropout: float = 0.15  # share of the images whose class is dropped, for guidance
    repeats: int = 3  # at most, of an image of a rare class in an epoch
    solver: Solver = "heun"
    num_inference_steps: int = 12
    guidance_scale: float = 2.0
    num_likelihoods: int = 24  # unseen images whose likelihood goes into the manifest
    remarks: tuple[str, ...] = ()  # on the run, for the card

    def __post_init__(self) -> None:
        check_name(self.name)
        check_ranges(
            self,
            {
                "image_size": (SIDE_MULTIPLE, MAX_SIDE),
                "sigma_mean": (-10.0, 10.0),
                "sigma_std": (0.01, 10.0),
                "class_dropout": (0.0, 1.0),
                "repeats": (1, 100),
                "num_inference_steps": (1, MAX_FLOW_STEPS),
                "guidance_scale": (0.0, MAX_GUIDANCE),
                "num_likelihoods": (0, inf),
            },
        )
        for label in self.labels:
            ClassLabel(label)
        if self.labels and not self.class_dropout and self.guidance_scale != 1:
            raise StudioError("Guidance other than 1 needs a class_dropout above 0: it leads away from no class.")
        if len(set(self.labels)) < len(self.labels):
            raise StudioError("labels names a class twice.")
        step = self.network.step
        if self.image_size % SIDE_MULTIPLE or self.image_size % step:
            raise StudioError(f"image_size must be a multiple of {SIDE_MULTIPLE} and of {step}, not {self.image_size}.")
