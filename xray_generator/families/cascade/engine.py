"""A loaded cascade, ready to sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_model
from torch import Tensor, nn

from xray_generator.abilities import NoiseSchedule
from xray_generator.checkpoints import Manifest, Stored, freeze, open_checkpoint
from xray_generator.devices import autocast, initial_noise, pick_device
from xray_generator.families.cascade.config import CascadeConfig
from xray_generator.families.cascade.model import Base, Cascade, read_statistics
from xray_generator.images import from_tensor, to_tensor
from xray_generator.nn.degradation import Degradation
from xray_generator.nn.diffusion import denoise, make_scheduler
from xray_generator.nn.enlarger import build_enlarger, enlarge
from xray_generator.nn.residual_flow import ResidualFlow
from xray_generator.requests import resolve_request, unused_guidance
from xray_generator.types import ClassLabel, GenerationRequest, Image, OnStep

WEIGHTS = "model.safetensors"  # in the folder of each network


@dataclass(frozen=True, slots=True)
class CascadeEngine:
    """The `Engine` of this family; also `NoiseScheduled`, of its base model."""

    model: Cascade
    manifest: Manifest
    config: CascadeConfig
    device: torch.device

    def components(self) -> Mapping[str, nn.Module]:
        """The networks by name."""
        return self.model.networks()

    def resolve(self, request: GenerationRequest) -> GenerationRequest:
        """See `requests.resolve_request`; steps, scheduler and guidance are those of the base model."""
        return resolve_request(request, self.manifest, self.config.base.num_train_timesteps)

    def notes(self, request: GenerationRequest) -> tuple[str, ...]:
        """See `requests.unused_guidance`."""
        return unused_guidance(request)

    @torch.inference_mode()
    def sample(self, request: GenerationRequest, generators: Sequence[torch.Generator], on_step: OnStep) -> Tensor:
        """(B, 1, S, S) in [-1, 1] for a resolved request, one image per generator, each sampled by itself."""
        with autocast(self.device):
            images = [self._draw(request, generator, on_step) for generator in generators]
        return to_tensor(np.stack(images)).to(self.device)

    def _draw(self, request: GenerationRequest, generator: torch.Generator, on_step: OnStep) -> Image:
        """Every stage up to the side that is asked for; a preview has the side of its stage."""
        assert request.num_inference_steps is not None
        stages = [stage.config for stage in self.config.enlarging if stage.config.image_size <= request.height]
        done = request.num_inference_steps
        total = done + sum(stage.num_inference_steps for stage in stages)
        image = self._draw_base(request, generator, _shift(on_step, 0, total))
        for flow, stage in zip(self.model.flows.values(), stages, strict=False):
            degradation, steps = Degradation(noise=stage.noise), stage.num_inference_steps
            report = _shift(on_step, done, total)
            image = enlarge(flow, image, stage.image_size, steps, generator, degradation, report)
            done += steps
        return image

    def _draw_base(self, request: GenerationRequest, generator: torch.Generator, on_step: OnStep) -> Image:
        assert request.num_inference_steps and request.scheduler and request.guidance_scale is not None
        base, side = self.model.base, self.config.base.image_size
        label = request.condition.label if isinstance(request.condition, ClassLabel) else ""
        scheduler = make_scheduler(request.scheduler, base.config, request.num_inference_steps)
        denoiser = base.denoiser(label, request.guidance_scale)
        noise = initial_noise((1, side, side), [generator], self.device)

        def report(step: int, total: int, x_0: Tensor) -> None:
            on_step(step, total, lambda: from_tensor(x_0.clamp(-1, 1))[0])

        return from_tensor(denoise(scheduler, denoiser, noise, generator, report).clamp(-1, 1))[0]

    def noise_schedule(self) -> NoiseSchedule:
        """See `abilities.NoiseScheduled`: the same for every scheduler."""
        alpha_bar = make_scheduler("ddpm", self.config.base).alphas_cumprod.double()
        alphas, sigmas = alpha_bar.sqrt().tolist(), (1 - alpha_bar).sqrt().tolist()
        return NoiseSchedule(tuple(map(float, range(len(alpha_bar)))), tuple(alphas), tuple(sigmas))

    def visited_timesteps(self, scheduler: str, num_inference_steps: int) -> tuple[float, ...]:
        """See `abilities.NoiseScheduled`; errors as of `diffusion.make_scheduler`."""
        return tuple(make_scheduler(scheduler, self.config.base, num_inference_steps).timesteps.double().tolist())


def _shift(on_step: OnStep, done: int, total: int) -> OnStep:
    """The progress of one part of the work, after `done` steps of `total`."""
    return lambda step, _, preview: on_step(done + step, total, preview)


def load_engine(folder: Path, device: str | None = None) -> CascadeEngine:
    """Verify a checkpoint folder against its manifest and load it in float32; errors as `open_checkpoint`."""
    target = pick_device(device)

    def build(manifest: Manifest, config: CascadeConfig) -> tuple[Cascade, Stored]:
        base = Base.build(config)
        flows = {
            stage.name: ResidualFlow(
                build_enlarger(stage.config.network), read_statistics(manifest.preprocessing, stage.name)
            )
            for stage in config.enlarging
        }
        model = Cascade(base, flows)
        networks = model.networks()
        for name, network in networks.items():
            load_model(network, folder / name / WEIGHTS)
            freeze(network, target)
        return model, {name: network.state_dict() for name, network in networks.items()}

    manifest, config, model = open_checkpoint(folder, CascadeConfig, build)
    return CascadeEngine(model, manifest, config, target)
