"""A loaded super-resolution checkpoint, ready to enlarge images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model
from torch import Tensor, nn

from xray_generator.checkpoints import Manifest, read_manifest, verify
from xray_generator.config import parse
from xray_generator.devices import autocast, initial_noise, pick_device
from xray_generator.families.super_resolution.config import SuperResolutionConfig
from xray_generator.families.super_resolution.degradation import Degradation, add_noise
from xray_generator.families.super_resolution.model import Statistics, SuperResolution, build_network, level_values
from xray_generator.images import from_tensor, resize_square, to_tensor
from xray_generator.types import MAX_SIDE, MAX_STEPS, SIDE_MULTIPLE, CheckpointRef, Image, OnStep, StudioError

WEIGHTS = "network/model.safetensors"
CLEAN = Degradation()


@dataclass(frozen=True, slots=True)
class SuperResolutionEngine:
    """The `Upscaler` of this family."""

    model: SuperResolution
    manifest: Manifest
    config: SuperResolutionConfig
    device: torch.device

    @property
    def checkpoint(self) -> CheckpointRef:
        """Which weights these are."""
        return self.manifest.ref

    def components(self) -> Mapping[str, nn.Module]:
        """The networks by name."""
        return {"network": self.model.network}

    def num_steps(self, side: int, size: int) -> int:
        """Euler steps of all passes; errors as `passes`."""
        return len(passes(side, size, self.config.degradation.factors)) * self._recommended_steps

    @property
    def _recommended_steps(self) -> int:
        return int(self.manifest.recommended.num_inference_steps)

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

        What is more than the greatest trained ratio is reached in several passes, each but the last to twice the side.

        Args:
            images: what to enlarge.
            size: pixels a side, a multiple of 16.
            num_steps: Euler steps of a pass; one gives the smoothest and nearest, several sharper ones.
            generators: one CPU generator for each image.
            on_step: called after every step of all passes; what it raises ends the work.
            degradation: the first pass takes the images to have that blur, and covers them with that noise, so that
                faults of a generated image are drawn anew rather than kept.

        Raises:
            StudioError: not square, a size or number of steps that is not allowed, or values that are not numbers.
        """
        steps = self._recommended_steps if num_steps is None else num_steps
        if not 1 <= steps <= MAX_STEPS:
            raise StudioError(f"The number of steps must be from 1 to {MAX_STEPS:,}, not {steps}.")
        if images.shape[-1] != images.shape[-2]:
            raise StudioError(f"Only square images are enlarged, not {images.shape[-1]}x{images.shape[-2]}.")
        sides = passes(images.shape[-1], size, self.config.degradation.factors)
        job = _Job(len(sides) * steps * len(images), on_step)
        made = []
        for image, generator in zip(from_tensor(images), generators, strict=True):
            for i, side in enumerate(sides):
                image = self._enlarge(image, side, steps, generator, degradation if i == 0 else CLEAN, job)
            made.append(image)
        return torch.cat([to_tensor(image[None]) for image in made]).to(self.device)

    def _enlarge(
        self, image: Image, side: int, steps: int, generator: torch.Generator, degradation: Degradation, job: _Job
    ) -> Image:
        low = add_noise(image, degradation.noise, generator)
        enlarged = to_tensor(resize_square(low, side)[None]).to(self.device)
        levels = level_values(side / len(image), degradation)[None].to(self.device)
        noise = initial_noise((1, side, side), [generator], self.device)
        with autocast(self.device):
            film = self.model.sample(self.model.condition(enlarged, levels), noise, steps, job.report)
        return from_tensor(film)[0]


@dataclass(slots=True)
class _Job:
    """Counts the steps of all images and passes."""

    total: int
    on_step: OnStep | None
    done: int = 0

    def report(self, _step: int, _total: int, estimate: Tensor) -> None:
        self.done += 1
        if self.on_step is not None:
            self.on_step(self.done, self.total, lambda: from_tensor(estimate)[0])


def passes(side: int, size: int, factors: tuple[float, float]) -> tuple[int, ...]:
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
    """Verify a checkpoint folder against its manifest and load it in float32.

    Raises:
        StudioError: damaged, incomplete, or not of this architecture.
    """
    manifest = read_manifest(folder)
    verify(folder, manifest)
    config = parse(SuperResolutionConfig, manifest.config)
    network = build_network(config.network)
    try:
        statistics = Statistics.from_json(manifest.preprocessing)
        load_model(network, folder / WEIGHTS)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, SafetensorError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise StudioError(f"The checkpoint {folder.name} cannot be loaded ({reason}).") from error
    if not all(bool(value.isfinite().all()) for value in network.state_dict().values()):
        raise StudioError(f"The weights of {folder.name} are damaged: they hold values that are not numbers.")
    target = pick_device(device)
    network = network.eval().requires_grad_(requires_grad=False).to(target)
    return SuperResolutionEngine(SuperResolution(network, statistics), manifest, config, target)
