"""A loaded Stable Diffusion, ready to sample and to be adapted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xray_generator.abilities import TEXT_ENCODER, UNET
from xray_generator.checkpoints import Manifest, Stored, freeze, open_checkpoint
from xray_generator.devices import autocast, initial_noise, pick_device
from xray_generator.families.stable_diffusion.config import StableDiffusionConfig
from xray_generator.families.stable_diffusion.model import StableDiffusion, read_model
from xray_generator.images import from_tensor
from xray_generator.nn.diffusion import denoise, noisy_and_target
from xray_generator.nn.rectified_flow import spread_evenly
from xray_generator.requests import check_condition, resolve_request
from xray_generator.types import ClassLabel, GenerationRequest, Image, OnStep, TextPrompt


@dataclass(frozen=True, slots=True)
class StableDiffusionEngine:
    """The `Engine` of this family; for what else it can do see `Family.abilities`."""

    model: StableDiffusion
    manifest: Manifest
    device: torch.device

    def components(self) -> Mapping[str, nn.Module]:
        """The networks by name."""
        return self.model.networks()

    def resolve(self, request: GenerationRequest) -> GenerationRequest:
        """See `requests.resolve_request`; as in diffusers, guidance below 1 is none, which is 1."""
        resolved = resolve_request(request, self.manifest, self.model.num_train_timesteps, takes_eta=True)
        assert resolved.guidance_scale is not None
        return replace(resolved, guidance_scale=max(1.0, resolved.guidance_scale))

    def notes(self, request: GenerationRequest) -> tuple[str, ...]:
        """The end of a prompt that is too long."""
        text = request.condition.text if isinstance(request.condition, TextPrompt) else ""
        ignored, most = self.model.ignored_text(text), self.model.max_length
        return (f"The prompt exceeds {most} tokens; this end was not read: {ignored!r}",) if ignored else ()

    @torch.inference_mode()
    def sample(self, request: GenerationRequest, generators: Sequence[torch.Generator], on_step: OnStep) -> Tensor:
        """(B, 1, H, W) in [-1, 1] for a resolved request, one image per generator, each sampled by itself.

        One at a time, because on a CPU the batch size changes the last bits of a result.
        """
        with autocast(self.device):
            return torch.cat([self._draw(request, generator, on_step) for generator in generators])

    def _draw(self, request: GenerationRequest, generator: torch.Generator, on_step: OnStep) -> Tensor:
        assert isinstance(request.condition, TextPrompt)
        assert request.scheduler and request.num_inference_steps and request.guidance_scale is not None
        model, side = self.model, request.height // self.model.factor
        noise = initial_noise((model.unet.config.in_channels, side, side), [generator], self.device)
        denoiser = model.denoiser(request.condition.text, request.guidance_scale)
        scheduler = model.scheduler(request.scheduler, request.num_inference_steps)

        @torch.inference_mode()
        def preview(x_0: Tensor) -> Image:
            return from_tensor(model.decode(x_0))[0]

        def report(step: int, total: int, x_0: Tensor) -> None:
            on_step(step, total, lambda: preview(x_0))

        return model.decode(denoise(scheduler, denoiser, noise, generator, report, eta=request.eta))

    @torch.inference_mode()
    def encode(self, images: Tensor, label: str | None = None) -> Tensor:
        """See `abilities.Autoencoding`; (B, 4, h, w). This model knows no classes."""
        self._refuse_class(label)
        with autocast(self.device):
            return self.model.encode(images.to(self.device))

    @torch.inference_mode()
    def decode(self, latents: Tensor, label: str | None = None) -> Tensor:
        """See `abilities.Autoencoding`."""
        self._refuse_class(label)
        with autocast(self.device):
            return self.model.decode(latents.to(self.device))

    def diffusion_latents(self, images: Tensor) -> Tensor:
        """See `abilities.Adaptable`."""
        return self.encode(images)

    def adaptable(self) -> Mapping[str, nn.Module]:
        """See `abilities.Adaptable`."""
        return {UNET: self.model.unet, TEXT_ENCODER: self.model.text_encoder}

    def adapted(self, change: Callable[[str, nn.Module], nn.Module], manifest: Manifest) -> StableDiffusionEngine:
        """See `abilities.Adaptable`."""
        model = self.model
        changed: dict[str, Any] = {
            UNET: change(UNET, model.unet),
            TEXT_ENCODER: change(TEXT_ENCODER, model.text_encoder),
        }
        return replace(self, model=replace(model, **changed), manifest=manifest)

    def denoising_errors(self, latents: Tensor, prompts: Sequence[str], generator: torch.Generator) -> Tensor:
        """See `abilities.Adaptable`; timesteps are spread evenly over all."""
        model, count = self.model, len(latents)
        timesteps = (spread_evenly(count, generator) * model.num_train_timesteps).long().to(latents.device)
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        x_t, wanted = noisy_and_target(model.scheduler("ddpm"), latents, noise, timesteps)
        output = model.predict(x_t, timesteps, model.embed(prompts))
        return (output - wanted).square().mean(dim=(1, 2, 3))

    def _refuse_class(self, label: str | None) -> None:
        if label is not None:
            check_condition(self.manifest, ClassLabel(label))


def load_engine(folder: Path, device: str | None = None) -> StableDiffusionEngine:
    """Verify a checkpoint folder against its manifest and load it in float32; errors as `open_checkpoint`."""
    target = pick_device(device)

    def build(_manifest: Manifest, _config: StableDiffusionConfig) -> tuple[StableDiffusion, Stored]:
        model = read_model(folder)
        networks = model.networks()
        for network in networks.values():
            freeze(network, target)
        return model, {name: network.state_dict() for name, network in networks.items()}

    manifest, _, model = open_checkpoint(folder, StableDiffusionConfig, build)
    return StableDiffusionEngine(model, manifest, target)
