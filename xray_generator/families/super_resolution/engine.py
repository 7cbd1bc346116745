"""A loaded super-resolution checkpoint, ready to enlarge images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_model
from torch import Tensor, nn

from xray_generator.checkpoints import Manifest, Stored, freeze, open_checkpoint
from xray_generator.devices import autocast, pick_device
from xray_generator.families.super_resolution.config import SuperResolutionConfig
from xray_generator.nn.degradation import CLEAN, Degradation
from xray_generator.nn.enlarger import Pass, build_enlarger, enlarge_by_passes, read_statistics
from xray_generator.nn.residual_flow import ResidualFlow
from xray_generator.types import MAX_SIDE, SIDE_MULTIPLE, OnStep, StudioError

WEIGHTS = "network/model.safetensors"


@dataclass(frozen=True, slots=True)
class SuperResolutionEngine:
    """The `Upscaler` of this family."""

    model: ResidualFlow
    manifest: Manifest
    config: SuperResolutionConfig
    device: torch.device

    def components(self) -> Mapping[str, nn.Module]:
        """The networks by name."""
        return {"network": self.model.network}

    def num_steps(self, side: int, size: int) -> int:
        """Steps of all passes; errors as `plan_passes`."""
        sides = plan_passes(side, size, self.config.degradation.factors)
        return len(sides) * self.manifest.recommended.num_inference_steps

    @torch.inference_mode()
    def upscale(
        self,
        images: Tensor,
        size: int,
        num_steps: int | None,
        generators: Sequence[torch.Generator],
        on_step: OnStep | None = None,
        degradation: Degradation = CLEAN,
    ) -> Tensor:
        """(B, 1, size, size) in [-1, 1] of square images (B, 1, S, S) in [-1, 1], each enlarged by itself.

        Beyond the greatest trained ratio, several passes are made, each but the last to twice the side.

        Args:
            images: what to enlarge.
            size: pixels a side, a multiple of 16.
            num_steps: of a pass; one is smoothest and most accurate, several are sharper.
            generators: one CPU generator for each image.
            on_step: called after every step of all passes; what it raises ends the work.
            degradation: that the first pass assumes: the image is taken to have that blur, and that noise is added, so
                that faults of a generated image are drawn anew rather than kept.

        Raises:
            StudioError: not square, a size or number of steps that is not allowed, or values that are not numbers.
        """
        steps = self.manifest.recommended.num_inference_steps if num_steps is None else num_steps
        sides = plan_passes(images.shape[-1], size, self.config.degradation.factors)
        passes = [Pass(self.model, side, steps, CLEAN if i else degradation) for i, side in enumerate(sides)]
        with autocast(self.device):
            return enlarge_by_passes(images.to(self.device), passes, generators, on_step)


def plan_passes(side: int, size: int, factors: tuple[float, float]) -> tuple[int, ...]:
    """The sides on the way from `side` to `size` by trained ratios: 256 to 768 goes over 512.

    Raises:
        StudioError: `size` is no multiple of 16, over 1,024, or less than the least trained ratio away.
    """
    least, greatest = factors
    low, high = side * least, MAX_SIDE
    if size % SIDE_MULTIPLE or not low <= size <= high:
        raise StudioError(
            f"An image of {side} pixels can be enlarged to a multiple of {SIDE_MULTIPLE} from {low:.0f} to {high} "
            f"pixels, not to {size}."
        )
    sides: list[int] = []
    while size / side > greatest:
        side = -(-2 * side // SIDE_MULTIPLE) * SIDE_MULTIPLE
        sides.append(side)
    return (*sides, size)


def load_engine(folder: Path, device: str | None = None) -> SuperResolutionEngine:
    """Verify a checkpoint folder against its manifest and load it in float32; errors as `open_checkpoint`."""
    target = pick_device(device)

    def build(manifest: Manifest, config: SuperResolutionConfig) -> tuple[ResidualFlow, Stored]:
        network = build_enlarger(config.network)
        load_model(network, folder / WEIGHTS)
        model = ResidualFlow(freeze(network, target), read_statistics(manifest.preprocessing))
        return model, {Path(WEIGHTS).parent.name: network.state_dict()}

    manifest, config, model = open_checkpoint(folder, SuperResolutionConfig, build)
    return SuperResolutionEngine(model, manifest, config, target)
