"""A loaded text-to-X-ray checkpoint, ready to sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from xray_generator.abilities import Ablation, AttentionMaps, NoiseSchedule
from xray_generator.checkpoints import Manifest
from xray_generator.devices import autocast, initial_noise, seeded_generators
from xray_generator.families.latent_diffusion.attention import recorded, word_maps
from xray_generator.families.latent_diffusion.config import FewStepConfig
from xray_generator.families.latent_diffusion.edits import edit_generated, edit_given, mix
from xray_generator.families.latent_diffusion.guidance import Conditioning, of_prompt
from xray_generator.families.latent_diffusion.model import (
    FEW_STEP,
    LatentDiffusion,
    noise_schedule,
    visited_timesteps,
)
from xray_generator.families.latent_diffusion.trajectory import StepCallback
from xray_generator.images import from_tensor, resize_square, to_tensor
from xray_generator.nn.interpolation import slerp
from xray_generator.requests import resolve_request
from xray_generator.types import (
    CheckpointRef,
    Edit,
    GenerationRequest,
    Image,
    Morph,
    OnStep,
    TextPrompt,
)


@dataclass(frozen=True, slots=True)
class LatentDiffusionEngine:
    """The `Engine` of this family."""

    model: LatentDiffusion
    manifest: Manifest
    device: torch.device
    few_step: FewStepConfig

    @property
    def checkpoint(self) -> CheckpointRef:
        """Which weights these are."""
        return self.manifest.ref

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides in pixels."""
        return self.manifest.sizes

    @property
    def inversion_scheduler(self) -> str:
        """See `abilities.Editing`: the one that can be inverted."""
        return "ddim"

    def resolve(self, request: GenerationRequest) -> GenerationRequest:
        """See `requests.resolve_request`; the few-step adapter always draws with its own guidance."""
        resolved = resolve_request(request, self.manifest, self.model.schedule.num_train_timesteps)
        is_few_step = resolved.scheduler == FEW_STEP
        return replace(resolved, guidance_scale=self.few_step.guidance_scale) if is_few_step else resolved

    def notes(self, request: GenerationRequest) -> tuple[str, ...]:
        """What of a request, as it was asked, the model cannot heed, in words."""
        text = request.condition.text if isinstance(request.condition, TextPrompt) else ""
        ignored = self.model.text_encoder.ignored_text(text)
        limit = self.model.text_encoder.max_length
        cut = f"The prompt exceeds {limit} tokens; this end was not read: {ignored!r}"
        asked, within = request.guidance_scale, self.few_step.guidance_scale
        told = [cut] if ignored else []
        if request.scheduler == FEW_STEP and asked not in (None, within):
            told.append(f"Guidance {asked:g} was not used: {FEW_STEP} always draws with {within:g}.")
        return tuple(told)

    def components(self) -> Mapping[str, nn.Module]:
        """The networks by name."""
        model = self.model
        return {"autoencoder": model.autoencoder, "unet": model.unet, "text_encoder": model.text_encoder}

    @torch.inference_mode()
    def sample(self, request: GenerationRequest, generators: Sequence[torch.Generator], on_step: OnStep) -> Tensor:
        """(B, 1, H, W) in [-1, 1] for a resolved request, one image per generator, each sampled by itself.

        One at a time, because on a CPU the batch size changes the last bits of a result.
        """
        with autocast(self.device):
            return torch.cat([self._sample_one(request, generator, on_step) for generator in generators])

    def _sample_one(self, request: GenerationRequest, generator: torch.Generator, on_step: OnStep) -> Tensor:
        conditioning = of_prompt(_text(request), _guidance(request))
        return self._draw_latents(request, self._noise(request, generator), conditioning, generator, on_step)

    def _draw_latents(
        self,
        request: GenerationRequest,
        noise: Tensor,
        conditioning: Conditioning,
        generator: torch.Generator,
        on_step: OnStep,
    ) -> Tensor:
        assert request.scheduler and request.num_inference_steps
        latents = self.model.sample_latents(
            noise, conditioning, request.scheduler, request.num_inference_steps, generator, self._report(on_step)
        )
        return self.model.decode(latents)

    def _noise(self, request: GenerationRequest, generator: torch.Generator) -> Tensor:
        channels, side = self.model.unet.config.in_channels, self.model.side_of(request.height)
        return initial_noise((channels, side, side), [generator], self.device)

    def _report(self, on_step: OnStep) -> StepCallback:
        return lambda step, total, estimate: on_step(step, total, lambda: self._draw(estimate))

    @torch.inference_mode()
    def morph(self, first: GenerationRequest, morph: Morph, on_step: OnStep) -> Tensor:
        """See `abilities.Morphing`."""
        second, weight = morph.second, morph.weight
        (generator,), (other,) = seeded_generators(first.seed, 1), seeded_generators(second.seed, 1)
        guidance = (1 - weight) * _guidance(first) + weight * _guidance(second)
        with autocast(self.device):
            noise = slerp(self._noise(first, generator), self._noise(first, other), weight)
            conditioning = mix(_text(first), _text(second), weight, guidance)
            return self._draw_latents(first, noise, conditioning, generator, on_step)

    @torch.inference_mode()
    def edit(self, source: Image | None, request: GenerationRequest, edit: Edit, on_step: OnStep) -> Tensor:
        """See `abilities.Editing`."""
        assert request.scheduler and request.num_inference_steps
        model, report, (generator,) = self.model, self._report(on_step), seeded_generators(request.seed, 1)
        with autocast(self.device):
            if source is None:
                before, after = edit_generated(
                    model,
                    self._noise(request, generator),
                    _text(request),
                    edit,
                    request.scheduler,
                    request.num_inference_steps,
                    _guidance(request),
                    generator,
                    report,
                )
            else:
                pixels = to_tensor(resize_square(source, request.height)[None]).to(self.device)
                before = model.statistics.normalize(model.autoencoder.encode(pixels).mean)
                after = edit_given(
                    model, before, edit, request.num_inference_steps, _guidance(request), generator, report
                )
            return torch.cat([model.decode(before), model.decode(after)])

    @torch.inference_mode()
    def attend(self, request: GenerationRequest, on_step: OnStep) -> AttentionMaps:
        """See `abilities.Attending`."""
        (generator,), prompt = seeded_generators(request.seed, 1), _text(request)
        with recorded(self.model.side_of(request.height)) as recorder, autocast(self.device):
            (image,) = from_tensor(self._sample_one(request, generator, on_step))
        words, maps = word_maps(prompt, self.model.text_encoder.offsets(prompt), recorder.maps())
        return AttentionMaps(words, maps, image)

    def ablations(self) -> tuple[Ablation, ...]:
        """See `abilities.Ablatable`."""
        model, schedule = self.model, self.model.schedule
        everywhere = replace(self, model=replace(model, schedule=replace(schedule, guidance_interval=(0.0, 1.0))))
        rescaled = replace(self, model=replace(model, schedule=replace(schedule, guidance_rescale=0.7)))
        low, high = schedule.guidance_interval
        found = [
            Ablation("as recommended", "", self, {}),
            Ablation(
                "plain DDIM, guided at all noise levels", "farther from real films", everywhere, {"scheduler": "ddim"}
            ),
            Ablation("DDIM", "farther at so few steps", self, {"scheduler": "ddim"}),
            Ablation(
                f"guided at all noise levels, not from {low:g} to {high:g}",
                "less varied, harder contrast",
                everywhere,
                {},
            ),
            Ablation("guidance rescaled by 0.7", "softer contrast", rescaled, {}),
        ]
        if model.few_step_unet is not None:
            few = {"scheduler": FEW_STEP, "num_inference_steps": self.few_step.num_steps}
            found.append(
                Ablation(f"{FEW_STEP}, {self.few_step.num_steps} steps", "a little farther, in fewer passes", self, few)
            )
        return tuple(found)

    def noise_schedule(self) -> NoiseSchedule:
        """The schedule of the denoiser's training."""
        return noise_schedule(self.model.schedule)

    def visited_timesteps(self, scheduler: str, num_inference_steps: int) -> tuple[float, ...]:
        """Where a scheduler calls the denoiser, from noise to image; errors as in `model`."""
        return visited_timesteps(scheduler, self.model.schedule, num_inference_steps)

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Tensor:
        """Posterior means (B, C, H/8, W/8) of images (B, 1, H, W) in [-1, 1]."""
        with autocast(self.device):
            return self.model.autoencoder.encode(images.to(self.device)).mean

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Images (B, 1, H, W) in [-1, 1] of latents as `encode` gives them."""
        with autocast(self.device):
            return self.model.autoencoder.decode(latents.to(self.device)).clamp(-1, 1)

    @torch.inference_mode()
    def _draw(self, estimate: Tensor) -> Image:
        return from_tensor(self.model.decode(estimate))[0]


def _text(request: GenerationRequest) -> str:
    assert isinstance(request.condition, TextPrompt)
    return request.condition.text


def _guidance(request: GenerationRequest) -> float:
    assert request.guidance_scale is not None
    return request.guidance_scale
