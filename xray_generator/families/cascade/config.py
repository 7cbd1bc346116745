"""The settings of a cascade: a base model, and up to two stages that enlarge what it draws."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from xray_generator.checkpoints import check_name
from xray_generator.config import check_ranges
from xray_generator.nn.network_configs import ClassUNetConfig, DegradationConfig, EnlargerConfig, check_window
from xray_generator.training.settings import AugmentationConfig, TrainingConfig
from xray_generator.types import MAX_GUIDANCE, MAX_SIDE, MAX_STEPS, SIDE_MULTIPLE, ClassLabel, StudioError

BASE_RANGES = {
    "image_size": (SIDE_MULTIPLE, MAX_SIDE),
    "num_train_timesteps": (2, 10_000),
    "class_dropout": (0.0, 1.0),
    "repeats": (1, 100),
    "num_inference_steps": (1, MAX_STEPS),
    "guidance_scale": (0.0, MAX_GUIDANCE),
    "window": (0, 64),
}
ENLARGING_RANGES = {
    "image_size": (2 * SIDE_MULTIPLE, MAX_SIDE),
    "crop_size": (2 * SIDE_MULTIPLE, MAX_SIDE),
    "one_step_share": (0.01, 1.0),
    "num_inference_steps": (1, MAX_STEPS),
    "noise": (0.0, 0.5),
}


@dataclass(frozen=True, slots=True)
class BaseConfig:
    """The diffusion model (DDPM, Ho et al. 2020, arXiv:2006.11239) that draws the whole image at its smallest side."""

    image_size: int = 64
    network: ClassUNetConfig = field(default_factory=lambda: ClassUNetConfig(2, (64, 128, 192), 1, (2,), 0.0))
    window: int = 4  # side of the windows of two Swin layers in the bottleneck; 0: self-attention in their place
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    num_train_timesteps: int = 1_000
    beta_schedule: Literal["linear", "squaredcos_cap_v2"] = "squaredcos_cap_v2"
    prediction_type: Literal["v_prediction", "sample"] = "v_prediction"
    class_dropout: float = 0.15  # share of the images whose class is dropped, for guidance
    repeats: int = 1  # at most, of an image of a rare class in an epoch
    scheduler: Literal["ddim", "ddpm", "dpm++", "unipc"] = "dpm++"
    num_inference_steps: int = 12
    guidance_scale: float = 1.5

    def __post_init__(self) -> None:
        check_ranges(self, BASE_RANGES)
        check_window(self.window, self.network.channels[-1])
        if self.image_size % SIDE_MULTIPLE or self.image_size % self.network.step:
            raise StudioError(
                f"base.image_size must be a multiple of {SIDE_MULTIPLE} and of {self.network.step}, "
                f"not {self.image_size}."
            )
        if not self.class_dropout and self.guidance_scale != 1:
            raise StudioError("Guidance other than 1 needs a class_dropout above 0: it leads away from no class.")


@dataclass(frozen=True, slots=True)
class EnlargingConfig:
    """A stage that enlarges: a flow draws the detail, given the enlarged image and the noise that was added to it."""

    image_size: int
    crop_size: int = 64
    one_step_share: float = 0.125  # of a batch at sigma 1, the only level of single-step enlargement
    num_inference_steps: int = 4
    noise: float = 0.0  # that sampling adds to what the stage before drew; the network is told
    network: EnlargerConfig = field(default_factory=EnlargerConfig)
    degradation: DegradationConfig = field(default_factory=DegradationConfig)

    def __post_init__(self) -> None:
        check_ranges(self, ENLARGING_RANGES)
        for name, side in (("image_size", self.image_size), ("crop_size", self.crop_size)):
            if side % SIDE_MULTIPLE:
                raise StudioError(f"{name} must be a multiple of {SIDE_MULTIPLE}, not {side}.")
        if self.crop_size > self.image_size:
            raise StudioError(f"crop_size must be image_size ({self.image_size}) or less, not {self.crop_size}.")
        if self.noise > self.degradation.max_noise:
            raise StudioError(
                f"noise must be degradation.max_noise ({self.degradation.max_noise:g}) or less: the network knows no "
                f"more, not {self.noise:g}."
            )


class Stage(NamedTuple):
    """A stage that enlarges: its name, its settings, and those of its training."""

    name: str
    config: EnlargingConfig
    training: TrainingConfig


@dataclass(frozen=True, slots=True)
class CascadeConfig:
    """A whole run. Without `sr1` and `sr2` the base model alone draws the image: a single-stage model."""

    name: str
    base_training: TrainingConfig
    sr1_training: TrainingConfig | None = None
    sr2_training: TrainingConfig | None = None
    family: Literal["cascade"] = "cascade"
    modality: Literal["MR", "DX", "CT"] = "MR"  # of its training images
    subject: str = "brain MRI slices"  # for the card
    labels: tuple[str, ...] = ()  # classes to draw; images of any other class teach what an image is, and no class
    base: BaseConfig = field(default_factory=BaseConfig)
    sr1: EnlargingConfig | None = None
    sr2: EnlargingConfig | None = None
    remarks: tuple[str, ...] = ()  # on the run, for the card

    def __post_init__(self) -> None:
        check_name(self.name)
        for label in self.labels:
            ClassLabel(label)
        if len(set(self.labels)) < len(self.labels):
            raise StudioError("labels names a class twice.")
        if not self.labels and self.base.guidance_scale != 1:
            raise StudioError("Guidance other than 1 needs classes.")
        if self.sr2 is not None and self.sr1 is None:
            raise StudioError("sr2 needs sr1, whose images it enlarges.")
        for name in ("sr1", "sr2"):
            if (getattr(self, name) is None) != (getattr(self, f"{name}_training") is None):
                raise StudioError(f"{name} and {name}_training go together: set both or neither.")
        side = self.base.image_size
        for stage in self.stages:
            least, greatest = stage.config.degradation.factors
            if not least * side <= stage.config.image_size <= greatest * side:
                raise StudioError(
                    f"{stage.name}.image_size must be {least:g} to {greatest:g} times {side}, the side before, "
                    f"not {stage.config.image_size}."
                )
            side = stage.config.image_size

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages after the base model, in their order."""
        known = (("sr1", self.sr1, self.sr1_training), ("sr2", self.sr2, self.sr2_training))
        return tuple(Stage(name, config, training) for name, config, training in known if config and training)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sides that it can draw, the last stage's first."""
        return tuple(reversed((self.base.image_size, *(stage.config.image_size for stage in self.stages))))
