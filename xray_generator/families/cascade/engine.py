"""A loaded cascade, ready to sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_model
from torch import Tensor, nn

from xray_generator.abilities import NoiseSchedule
from xray_generator.checkpoints import Manifest, Stored, freeze, open_checkpoint
from xray_generator.devices import autocast, initial_noise, pick_device
from xray_generator.families.cascade.config import CascadeConfig, Stage
from xray_generator.families.cascade.model import Base, Cascade
from xray_generator.images import from_tensor
from xray_generator.nn.degradation import CLEAN, Degradation
from xray_generator.nn.diffusion import denoise, make_scheduler
from xray_generator.nn.enlarger import Pass, build_enlarger, enlarge_by_passes, read_statistics
from xray_generator.nn.residual_flow import ResidualFlow
from xray_generator.requests import resolve_request, unused_guidance
from xray_generator.types import ClassLabel, GenerationRequest, OnStep, StudioError, after

WEIGHTS = "model.safetensors"  # in the folder of each network


@dataclass(frozen=True, slots=True)
class CascadeEngine:
    """The `Engine` of this family; also `NoiseScheduled`, of its base model, and an `Upscaler`, by its other stages."""

    model: Cascade
    manifest: Manifest
    config: CascadeConfig
    device: torch.device

    def components(self) -> Mapping[str, nn.Module]:
        """The networks by name."""
        return self.model.networks()

    def resolve(self, request: GenerationRequest) -> GenerationRequest:
        """See `requests.resolve_request`; steps, scheduler, guidance and eta are those of the base model."""
        return resolve_request(request, self.manifest, self.config.base.num_train_timesteps, takes_eta=True)

    def notes(self, request: GenerationRequest) -> tuple[str, ...]:
        """See `requests.unused_guidance`."""
        return unused_guidance(request)

    @torch.inference_mode()
    def sample(self, request: GenerationRequest, generators: Sequence[torch.Generator], on_step: OnStep) -> Tensor:
        """(B, 1, S, S) in [-1, 1] for a resolved request, one image per generator, each sampled by itself.

        Every stage up to the side that is asked for is run, and a preview has the side of its stage.
        """
        with autocast(self.device):
            return torch.cat([self._draw(request, generator, on_step) for generator in generators])

    def _draw(self, request: GenerationRequest, generator: torch.Generator, on_step: OnStep) -> Tensor:
        done = request.num_inference_steps or 0
        passes = [self._pass(stage) for stage in self.config.stages if stage.config.image_size <= request.height]
        total = done + sum(one.num_steps for one in passes)
        image = self._draw_base(request, generator, after(on_step, 0, total))
        return enlarge_by_passes(image, passes, [generator], after(on_step, done, total))

    def _pass(self, stage: Stage) -> Pass:
        """The enlargement of what the stage before drew."""
        config = stage.config
        degradation = Degradation(noise=config.noise)
        return Pass(self.model.flows[stage.name], config.image_size, config.num_inference_steps, degradation)

    @torch.inference_mode()
    def upscale(
        self,
        images: Tensor,
        size: int,
        num_steps: int | None,
        generators: Sequence[torch.Generator],
        on_step: OnStep | None = None,
    ) -> Tensor:
        """See `Upscaler`: by the stages that lead to that side, without the noise that drawing adds.

        Raises:
            StudioError: no stage draws that side, or the images are too small or too large for the stages that do.
        """
        passes = [
            replace(self._pass(stage), degradation=CLEAN, num_steps=num_steps or stage.config.num_inference_steps)
            for stage in self._path(images.shape[-1], size)
        ]
        with autocast(self.device):
            return enlarge_by_passes(images.to(self.device), passes, generators, on_step)

    def num_steps(self, side: int, size: int) -> int:
        """See `Upscaler`; errors as of `upscale`."""
        return sum(stage.config.num_inference_steps for stage in self._path(side, size))

    def _path(self, side: int, size: int) -> tuple[Stage, ...]:
        stages = tuple(stage for stage in self.config.stages if side < stage.config.image_size <= size)
        given, before = side, side
        for stage in stages:
            least, greatest = stage.config.degradation.factors
            if not least * before <= stage.config.image_size <= greatest * before:
                raise StudioError(
                    f"{stage.name.upper()} of {self.manifest.name} enlarges {least:g} to {greatest:g} times, to "
                    f"{stage.config.image_size} pixels, not from {before}."
                )
            before = stage.config.image_size
        if before != size or not stages:
            sizes = ", ".join(str(stage.config.image_size) for stage in self.config.stages) or "no size"
            raise StudioError(f"{self.manifest.name} enlarges to {sizes} pixels, not from {given} to {size}.")
        return stages

    def _draw_base(self, request: GenerationRequest, generator: torch.Generator, on_step: OnStep) -> Tensor:
        assert request.num_inference_steps and request.scheduler and request.guidance_scale is not None
        base, side = self.model.base, self.config.base.image_size
        label = request.condition.label if isinstance(request.condition, ClassLabel) else ""
        scheduler = make_scheduler(request.scheduler, base.config, request.num_inference_steps)
        denoiser = base.denoiser(label, request.guidance_scale)
        noise = initial_noise((1, side, side), [generator], self.device)

        def report(step: int, total: int, x_0: Tensor) -> None:
            on_step(step, total, lambda: from_tensor(x_0.clamp(-1, 1))[0])

        return denoise(scheduler, denoiser, noise, generator, report, eta=request.eta).clamp(-1, 1)

    def noise_schedule(self) -> NoiseSchedule:
        """See `abilities.NoiseScheduled`: the same for every scheduler."""
        alpha_bar = make_scheduler("ddpm", self.config.base).alphas_cumprod.double()
        alphas, sigmas = alpha_bar.sqrt().tolist(), (1 - alpha_bar).sqrt().tolist()
        return NoiseSchedule(tuple(map(float, range(len(alpha_bar)))), tuple(alphas), tuple(sigmas))

    def visited_timesteps(self, scheduler: str, num_inference_steps: int) -> tuple[float, ...]:
        """See `abilities.NoiseScheduled`; errors as of `diffusion.make_scheduler`."""
        return tuple(make_scheduler(scheduler, self.config.base, num_inference_steps).timesteps.double().tolist())


def load_engine(folder: Path, device: str | None = None) -> CascadeEngine:
    """Verify a checkpoint folder against its manifest and load it in float32; errors as `open_checkpoint`."""
    target = pick_device(device)

    def build(manifest: Manifest, config: CascadeConfig) -> tuple[Cascade, Stored]:
        base = Base.build(config)
        flows = {
            stage.name: ResidualFlow(
                build_enlarger(stage.config.network), read_statistics(manifest.preprocessing[stage.name])
            )
            for stage in config.stages
        }
        model = Cascade(base, flows)
        networks = model.networks()
        for name, network in networks.items():
            load_model(network, folder / name / WEIGHTS)
            freeze(network, target)
        return model, {name: network.state_dict() for name, network in networks.items()}

    manifest, config, model = open_checkpoint(folder, CascadeConfig, build)
    return CascadeEngine(model, manifest, config, target)
