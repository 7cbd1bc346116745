"""What is known of an imported model beside its files; everything else stands in these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from xray_generator.checkpoints import check_name


@dataclass(frozen=True, slots=True)
class StableDiffusionConfig:
    """Where a checkpoint came from."""

    name: str
    source: str  # a name on the hub, or the last part of a folder's
    source_sha256: str  # of its files of weights, see `checkpoints.weights_sha256`
    family: Literal["stable_diffusion"] = "stable_diffusion"

    def __post_init__(self) -> None:
        check_name(self.name)
