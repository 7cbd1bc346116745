"""The settings of one stage of training; read without torch, as every configuration is."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

from xray_generator.config import check_ranges
from xray_generator.types import StudioError

RANGES = {
    "num_steps": (1, inf),
    "batch_size": (1, inf),
    "learning_rate": (1e-8, 0.5),
    "gradient_accumulation_steps": (1, inf),
    "muon_rate": (1e-8, 0.5),
    "warmup_steps": (0, inf),
    "decay_share": (0.0, 1.0),
    "weight_decay": (0.0, 10.0),
    "adam_beta1": (0.0, 0.99999),
    "adam_beta2": (0.0, 0.99999),
    "max_grad_norm": (1e-6, inf),
    "ema_decay": (0.0, 0.99999),
    "checkpoint_every": (1, inf),
    "keep_checkpoints": (1, inf),
    "log_every": (1, inf),
    "num_workers": (0, inf),
    "max_minutes": (0.01, inf),
    "patience": (1, inf),
    "seed": (0, 2**32 - 1),
}


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """One stage's settings. A step is one optimizer update."""

    num_steps: int
    batch_size: int  # samples in one forward pass, all processes together
    learning_rate: float
    gradient_accumulation_steps: int = 1
    optimizer: Literal["adamw", "muon"] = "adamw"  # muon: of kernels and matrices between hidden layers, see `muon`
    muon_rate: float = 0.02  # learning rate of these
    warmup_steps: int = 200
    # plateau: constant, then linearly to 0 over the last `decay_share`; such a run can be prolonged before it falls
    lr_schedule: Literal["constant_with_warmup", "linear", "cosine", "plateau"] = "cosine"
    decay_share: float = 0.2  # of num_steps
    weight_decay: float = 0.01
    adam_beta1: float = 0.9
    adam_beta2: float = 0.99
    max_grad_norm: float = 1.0
    ema_decay: float = 0.999  # at most; warms up as 1 - (1 + step)^-0.75
    mixed_precision: Literal["auto", "bf16", "no"] = "auto"  # auto: bf16 where it is the faster one
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    log_every: int = 20
    num_workers: int = 0
    max_minutes: float | None = None  # of one call: then the state is saved and the run ends, as when asked to stop
    seed: int = 0
    best_by: str = ""  # a measure of validation, such as mse: its best weights are kept; empty: the last ones
    best_is: Literal["lower", "higher"] = "lower"
    patience: int | None = None  # validations without a better one, after which the stage ends; None: never

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)
        if self.patience is not None and not self.best_by:
            raise StudioError("patience needs best_by, the measure of validation that must get better.")

    @property
    def decay_start(self) -> int:
        """The step at which a plateau ends."""
        return round(self.num_steps * (1 - self.decay_share))


@dataclass(frozen=True, slots=True)
class AugmentationConfig:
    """How differently the same patient may lie in the scanner; never mirrored, for bodies have sides."""

    turn: float = 0.06  # radians, at most
    zoom: float = 0.06  # share of the size, at most
    shift: float = 0.04  # share of the side, at most

    def __post_init__(self) -> None:
        check_ranges(self, {"turn": (0.0, 0.5), "zoom": (0.0, 0.5), "shift": (0.0, 0.5)})
