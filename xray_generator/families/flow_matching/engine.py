"""A loaded flow, ready to draw slices and to say how probable a slice is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DModel
from safetensors import SafetensorError
from torch import Tensor, nn

from xray_generator.abilities import Likelihood
from xray_generator.checkpoints import Manifest, read_manifest, verify
from xray_generator.class_requests import class_notes, resolve_class_request
from xray_generator.config import parse
from xray_generator.devices import autocast, initial_noise, pick_device, seeded_generators
from xray_generator.families.flow_matching.config import FlowMatchingConfig
from xray_generator.families.flow_matching.likelihood import (
    bits_per_dimension,
    dequantize,
    log_density,
    there_and_back,
)
from xray_generator.families.flow_matching.model import FlowMatching, solve
from xray_generator.images import from_tensor, resize_square, to_uint8
from xray_generator.types import (
    CheckpointRef,
    ClassLabel,
    GenerationRequest,
    Image,
    OnStep,
    StudioError,
)

COMPONENT = "unet"
NUM_PROBES = 2


@dataclass(frozen=True, slots=True)
class FlowMatchingEngine:
    """The `Engine` of this family; also `Scoring` and `Tracing`."""

    model: FlowMatching
    manifest: Manifest
    config: FlowMatchingConfig
    device: torch.device

    @property
    def checkpoint(self) -> CheckpointRef:
        """Which weights these are."""
        return self.manifest.ref

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides in pixels of the square images that it draws."""
        return self.manifest.sizes

    def components(self) -> Mapping[str, nn.Module]:
        """The networks by name."""
        return {COMPONENT: self.model.network}

    def resolve(self, request: GenerationRequest) -> GenerationRequest:
        """See `resolve_class_request`."""
        return resolve_class_request(request, self.manifest)

    def notes(self, request: GenerationRequest) -> tuple[str, ...]:
        """What of a request, as it was asked, the model cannot heed, in words."""
        return class_notes(request)

    @torch.inference_mode()
    def sample(self, request: GenerationRequest, generators: Sequence[torch.Generator], on_step: OnStep) -> Tensor:
        """(B, 1, H, W) in [-1, 1] for a resolved request, one image per generator, each sampled by itself."""
        return torch.cat([self._path(request, generator, on_step)[-1] for generator in generators]).clamp(-1, 1)

    @torch.inference_mode()
    def trace(self, request: GenerationRequest, on_step: OnStep) -> tuple[Image, ...]:
        """See `abilities.Tracing`."""
        (generator,) = seeded_generators(request.seed, 1)
        return from_tensor(torch.cat(self._path(request, generator, on_step)))

    def _path(self, request: GenerationRequest, generator: torch.Generator, on_step: OnStep) -> list[Tensor]:
        """Noise, and x after every step."""
        assert request.num_inference_steps and request.scheduler and request.guidance_scale is not None
        noise = initial_noise((1, request.height, request.width), [generator], self.device)
        path = [noise]

        def report(step: int, total: int, x: Tensor) -> None:
            path[step:] = [x]  # heun corrects what it told
            on_step(step, total, lambda: from_tensor(x)[0])

        field = self.model.field(_label(request), request.guidance_scale)
        with autocast(self.device):
            end = solve(field, noise, request.num_inference_steps, request.scheduler, report)
        return [*path[:-1], end]

    @torch.no_grad()
    def likelihood(
        self, image: Image, label: str | None, generator: torch.Generator, on_step: OnStep | None = None
    ) -> Likelihood:
        """See `abilities.Scoring`."""
        if label is not None and label not in self.manifest.labels:
            known = ", ".join(self.manifest.labels)
            raise StudioError(f"{self.manifest.name} knows no class {label[:80]!r}. Allowed: {known}.")
        levels = to_uint8(resize_square(image, self.config.image_size))
        x = dequantize(torch.from_numpy(levels)[None, None], generator).to(self.device)
        field = self.model.field(label or "")

        def report(done: int, total: int) -> None:
            if on_step is not None:
                on_step(done, total + 1, lambda: np.asarray(levels / np.float32(255), np.float32))

        found = log_density(field, x, generator, NUM_PROBES, report)
        back = there_and_back(field, x)
        bits = [bits_per_dimension(float(value), x.numel()) for value in found.values]
        return Likelihood(
            float(np.mean(bits)),
            float(np.std(bits, ddof=1) / len(bits) ** 0.5),
            float((back - x).square().mean().sqrt()) / 2,
            found.noise[0, 0].cpu().numpy(),
            np.asarray(levels / np.float32(255), np.float32),
        )


def _label(request: GenerationRequest) -> str:
    return request.condition.label if isinstance(request.condition, ClassLabel) else ""


def load_engine(folder: Path, device: str | None = None) -> FlowMatchingEngine:
    """Verify a checkpoint folder against its manifest and load it in float32.

    Raises:
        StudioError: damaged, incomplete, or not of this architecture.
    """
    manifest = read_manifest(folder)
    verify(folder, manifest)
    config = parse(FlowMatchingConfig, manifest.config)
    try:
        network = UNet2DModel.from_pretrained(folder / COMPONENT, torch_dtype=torch.float32, local_files_only=True)
        fits = network.config.in_channels == config.network.fold**2
        fits = fits and network.config.num_class_embeds == len(config.labels) + 1
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, SafetensorError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise StudioError(f"The checkpoint {folder.name} cannot be loaded ({reason}).") from error
    if not fits:
        raise StudioError(f"The checkpoint {folder.name} cannot be loaded (its network is not of its settings).")
    if not all(bool(value.isfinite().all()) for value in network.state_dict().values()):
        raise StudioError(f"The weights of {folder.name} are damaged: they hold values that are not numbers.")
    target = pick_device(device)
    network = network.eval().requires_grad_(requires_grad=False).to(target, memory_format=torch.channels_last)
    model = FlowMatching(network, config.network.fold, config.labels)
    return FlowMatchingEngine(model, manifest, config, target)
