"""The settings of an adapter's run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from xray_generator.checkpoints import check_name
from xray_generator.config import check_ranges
from xray_generator.training.settings import TrainingConfig
from xray_generator.types import StudioError, TextPrompt

RANGES = {
    "rank": (1, 256),
    "alpha": (1e-3, 1e3),
    "dropout": (0.0, 0.9),
    "prior_weight": (0.0, 10.0),
    "num_prior_images": (1, 1_000),
}


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """A whole run."""

    name: str
    training: TrainingConfig
    family: Literal["lora"] = "lora"
    base: str = "chest_xray_256"  # checkpoint of a text model; or a Stable Diffusion, by its folder or name on the hub
    rank: int = 8
    alpha: float = 8.0  # the adapter's change is alpha / rank times B A
    dropout: float = 0.0  # of the adapter's input
    target_modules: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")  # of the denoiser: ends of names
    adapts_text_encoder: bool = False  # its attention too
    conditions: tuple[str, ...] = ()  # it learns from images that meet one, such as pleural_effusion; empty: from all
    prompt: str = ""  # of images that have none; {label} stands for their class
    prior_weight: float = 0.0  # of the base's own images, so that it is not forgotten (Ruiz et al. 2022, section 3.2)
    prior_prompt: str = "Chest X-ray"
    num_prior_images: int = 16
    gradient_checkpointing: bool = False  # less memory, more time
    remarks: tuple[str, ...] = ()  # on the run, for the card

    def __post_init__(self) -> None:
        check_name(self.name)
        check_ranges(self, RANGES)
        if not self.target_modules:
            raise StudioError("target_modules must name one layer or more.")
        TextPrompt(self.prior_prompt)
