"""A loaded flow: it draws slices, and gives the likelihood of a slice."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DModel
from torch import Tensor, nn

from xray_generator.abilities import Likelihood
from xray_generator.checkpoints import Manifest, Stored, freeze, open_checkpoint
from xray_generator.devices import autocast, initial_noise, pick_device, seeded_generators
from xray_generator.families.flow_matching.config import FlowMatchingConfig
from xray_generator.families.flow_matching.likelihood import (
    NUM_PASSES,
    NUM_PROBES,
    PASSES_OUT,
    Progress,
    bits_per_dimension,
    dequantize,
    diverge,
    draw_probes,
    log_density,
    reconstruct,
)
from xray_generator.families.flow_matching.model import FlowMatching
from xray_generator.images import from_tensor, from_uint8, resize_square, to_uint8
from xray_generator.nn.rectified_flow import SOLVERS, time_grid
from xray_generator.requests import MAX_FLOW_STEPS, check_condition, resolve_request, unused_guidance
from xray_generator.types import (
    NO_PREVIEW,
    ClassLabel,
    GenerationRequest,
    Image,
    LikelihoodMethod,
    OnStep,
    Unconditional,
    no_report,
)

COMPONENT = "unet"
# diffusers' default builds a network under a patch of torch that other threads see: theirs would hold no data
LOADING: dict[str, Any] = {"use_safetensors": True, "low_cpu_mem_usage": False, "torch_dtype": torch.float32}


@dataclass(frozen=True, slots=True)
class FlowMatchingEngine:
    """The `Engine` of this family; also `Scoring` and `Tracing`."""

    model: FlowMatching
    manifest: Manifest
    config: FlowMatchingConfig
    device: torch.device

    def components(self) -> Mapping[str, nn.Module]:
        """The networks by name."""
        return {COMPONENT: self.model.network}

    def resolve(self, request: GenerationRequest) -> GenerationRequest:
        """See `requests.resolve_request`."""
        return resolve_request(request, self.manifest, MAX_FLOW_STEPS)

    def notes(self, request: GenerationRequest) -> tuple[str, ...]:
        """See `requests.unused_guidance`."""
        return unused_guidance(request)

    @torch.inference_mode()
    def sample(self, request: GenerationRequest, generators: Sequence[torch.Generator], on_step: OnStep) -> Tensor:
        """(B, 1, H, W) in [-1, 1] for a resolved request, one image per generator, each sampled by itself."""
        return torch.cat([self._trajectory(request, g, on_step)[-1] for g in generators]).clamp(-1, 1)

    @torch.inference_mode()
    def trace(self, request: GenerationRequest, on_step: OnStep) -> tuple[Image, ...]:
        """See `abilities.Tracing`."""
        (generator,) = seeded_generators(request.seed, 1)
        return from_tensor(torch.cat(self._trajectory(request, generator, on_step)))

    def _trajectory(self, request: GenerationRequest, generator: torch.Generator, on_step: OnStep) -> list[Tensor]:
        """The noise, and x after every step."""
        assert request.num_inference_steps and request.scheduler and request.guidance_scale is not None
        states = [initial_noise((1, request.height, request.width), [generator], self.device)]

        def record(step: int, total: int, x: Tensor, x_0: Callable[[], Tensor]) -> None:
            states.append(x)
            on_step(step, total, lambda: from_tensor(x_0())[0])

        field, solve = self.model.field(_label(request), request.guidance_scale), SOLVERS[request.scheduler]
        with autocast(self.device):
            solve(field, states[0], time_grid(request.num_inference_steps), record)
        return states

    @torch.no_grad()
    def likelihood(
        self,
        image: Image,
        label: str | None,
        generator: torch.Generator,
        method: LikelihoodMethod = "fast",
        on_step: OnStep = no_report,
    ) -> Likelihood:
        """See `abilities.Scoring`."""
        check_condition(self.manifest, Unconditional() if label is None else ClassLabel(label))
        levels = to_uint8(resize_square(image, self.config.image_size))
        shown, x = from_uint8(levels), dequantize(torch.from_numpy(levels)[None, None], generator).to(self.device)
        field = self.model.field(label or "")
        progress = Progress(method, lambda done, total: on_step(done, total, lambda: NO_PREVIEW))
        density = log_density(field, x, generator, method=method, on_pass=progress.to_noise)
        reconstruction = reconstruct(field, density.noise, method, progress.to_image)
        bits = [bits_per_dimension(float(value), x.numel()) for value in density.values]
        return Likelihood(
            float(np.mean(bits)),
            float(np.std(bits, ddof=1) / len(bits) ** 0.5),
            float((reconstruction - x).square().mean().sqrt()) / 2,
            density.noise[0, 0].cpu().numpy(),
            shown,
            method,
            progress.done,
        )

    @torch.no_grad()
    def likelihood_seconds(self, on_step: OnStep = no_report) -> float:
        """See `abilities.Scoring`."""
        x = torch.zeros(1, 1, self.config.image_size, self.config.image_size, device=self.device)
        probes = draw_probes(x, NUM_PROBES, torch.Generator())
        fastest = math.inf
        for step in range(1, 4):  # the first one costs more, and other work may slow another
            started = time.perf_counter()
            float(diverge(self.model.field(""), x, 0.5, probes)[1].sum())  # waits for a GPU
            fastest = min(fastest, time.perf_counter() - started)
            on_step(step, 3, lambda: NO_PREVIEW)
        return fastest * NUM_PASSES / PASSES_OUT


def _label(request: GenerationRequest) -> str:
    return request.condition.label if isinstance(request.condition, ClassLabel) else ""


def load_engine(folder: Path, device: str | None = None) -> FlowMatchingEngine:
    """Verify a checkpoint folder against its manifest and load it in float32; errors as `open_checkpoint`."""
    target = pick_device(device)

    def build(_: Manifest, config: FlowMatchingConfig) -> tuple[FlowMatching, Stored]:
        network = UNet2DModel.from_pretrained(folder / COMPONENT, **LOADING)
        expected = config.network.fold**2, len(config.labels) + 1
        if (network.config.in_channels, network.config.num_class_embeds) != expected:
            raise ValueError("its network is not that of its settings")
        model = FlowMatching(freeze(network, target), config.network.fold, config.labels)
        return model, {COMPONENT: network.state_dict()}

    manifest, config, model = open_checkpoint(folder, FlowMatchingConfig, build)
    return FlowMatchingEngine(model, manifest, config, target)
