"""A loaded text-to-X-ray checkpoint, ready to sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_model
from torch import Tensor, nn

from xray_generator.abilities import TEXT_ENCODER, UNET, Ablation, AttentionMaps, NoiseSchedule
from xray_generator.checkpoints import Manifest, Stored, freeze, open_checkpoint
from xray_generator.devices import autocast, initial_noise, pick_device, seeded_generators
from xray_generator.families.latent_diffusion.attention import RecordableAttention, record_attention, word_maps
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig
from xray_generator.families.latent_diffusion.edits import edit_generated, edit_given
from xray_generator.families.latent_diffusion.guidance import Conditioning, Sampling, run_unet
from xray_generator.families.latent_diffusion.model import (
    FEW_STEP,
    REFINEMENT,
    LatentDiffusion,
    LatentStatistics,
    build_refinement,
    make_scheduler,
)
from xray_generator.families.latent_diffusion.text import LOADING, TextEncoder
from xray_generator.images import from_tensor, resize_square, to_tensor
from xray_generator.nn.compact_autoencoder import CompactAutoencoder
from xray_generator.nn.diffusion import (
    INVERTIBLE,
    StepCallback,
    alpha_sigma,
    noisy_and_target,
    predict_x0_and_noise,
)
from xray_generator.nn.interpolation import slerp
from xray_generator.nn.rectified_flow import spread_evenly
from xray_generator.requests import check_condition, resolve_request
from xray_generator.types import (
    ClassLabel,
    Edit,
    GenerationRequest,
    Image,
    Morph,
    OnStep,
    TextPrompt,
)


@dataclass(frozen=True, slots=True)
class LatentDiffusionEngine:
    """The `Engine` of this family; for what else it can do see `Family.abilities`."""

    model: LatentDiffusion
    manifest: Manifest
    config: LatentDiffusionConfig
    device: torch.device

    @property
    def inversion_scheduler(self) -> str:
        """See `abilities.Editing`."""
        return INVERTIBLE

    def components(self) -> Mapping[str, nn.Module]:
        """The networks by name."""
        model = self.model
        networks = {"autoencoder": model.autoencoder, "unet": model.unet, "text_encoder": model.text_encoder}
        return networks if model.refinement is None else {**networks, REFINEMENT: model.refinement}

    def resolve(self, request: GenerationRequest) -> GenerationRequest:
        """See `requests.resolve_request`; the few-step adapter always draws with its own guidance."""
        resolved = resolve_request(request, self.manifest, self.model.schedule.num_train_timesteps, takes_eta=True)
        is_few_step = resolved.scheduler == FEW_STEP
        return replace(resolved, guidance_scale=self.config.few_step.guidance_scale) if is_few_step else resolved

    def notes(self, request: GenerationRequest) -> tuple[str, ...]:
        """The end of a prompt that is too long, and guidance that the few-step adapter does not use."""
        notes, encoder = [], self.model.text_encoder
        text = request.condition.text if isinstance(request.condition, TextPrompt) else ""
        if ignored := encoder.ignored_text(text):
            notes.append(f"The prompt exceeds {encoder.max_length} tokens; this end was not read: {ignored!r}")
        guidance, built_in = request.guidance_scale, self.config.few_step.guidance_scale
        if request.scheduler == FEW_STEP and guidance not in (None, built_in):
            notes.append(f"Guidance {guidance:g} was not used: {FEW_STEP} always draws with {built_in:g}.")
        return tuple(notes)

    @torch.inference_mode()
    def sample(self, request: GenerationRequest, generators: Sequence[torch.Generator], on_step: OnStep) -> Tensor:
        """(B, 1, H, W) in [-1, 1] for a resolved request, one image per generator, each sampled by itself.

        One at a time, because on a CPU the batch size changes the last bits of a result.
        """
        sampling = _read_sampling(request)
        with autocast(self.device):
            return torch.cat([self._draw(sampling, self._noise(request, g), g, on_step) for g in generators])

    def _draw(self, sampling: Sampling, noise: Tensor, generator: torch.Generator, on_step: OnStep) -> Tensor:
        x_0 = self.model.sample_latents(noise, sampling, generator, self._preview(on_step))
        return self.model.decode(x_0, [generator])

    def _noise(self, request: GenerationRequest, generator: torch.Generator) -> Tensor:
        channels, side = self.model.unet.config.in_channels, self.model.side_of(request.height)
        return initial_noise((channels, side, side), [generator], self.device)

    def _preview(self, on_step: OnStep) -> StepCallback:
        @torch.inference_mode()
        def preview(x_0: Tensor) -> Image:
            return from_tensor(self.model.decode(x_0))[0]

        return lambda step, total, x_0: on_step(step, total, lambda: preview(x_0))

    @torch.inference_mode()
    def morph(self, first: GenerationRequest, morph: Morph, on_step: OnStep) -> Tensor:
        """See `abilities.Morphing`."""
        second, weight = morph.second, morph.weight
        (generator,), (other,) = seeded_generators(first.seed, 1), seeded_generators(second.seed, 1)
        sampling, ours, theirs = _read_sampling(first), *map(_read_prompt, (first, second))
        guidance_scale = (1 - weight) * ours[1] + weight * theirs[1]
        conditioning = Conditioning.interpolate(ours[0], theirs[0], weight, guidance_scale)
        with autocast(self.device):
            noise = slerp(self._noise(first, generator), self._noise(first, other), weight)
            return self._draw(sampling._replace(conditioning=conditioning), noise, generator, on_step)

    @torch.inference_mode()
    def edit(self, source: Image | None, request: GenerationRequest, edit: Edit, on_step: OnStep) -> Tensor:
        """See `abilities.Editing`."""
        model, sampling, report = self.model, _read_sampling(request), self._preview(on_step)
        (generator,) = seeded_generators(request.seed, 1)
        with autocast(self.device):
            if source is None:
                noise = self._noise(request, generator)
                before, after = edit_generated(model, noise, sampling, edit, generator, report)
            else:
                pixels = to_tensor(resize_square(source, request.height)[None]).to(self.device)
                before = model.statistics.normalize(model.encode(pixels))
                after = edit_given(model, before, sampling, edit, generator, report)
            state = generator.get_state()
            pair = [model.decode(before, [generator])]
            generator.set_state(state)  # the same grain, so that nothing moves but what was edited
            return torch.cat([*pair, model.decode(after, [generator])])

    def attend(self, request: GenerationRequest, on_step: OnStep) -> AttentionMaps:
        """See `abilities.Attending`."""
        prompt, _ = _read_prompt(request)
        with record_attention(self.model.side_of(request.height)) as recorder:
            (image,) = from_tensor(self.sample(request, seeded_generators(request.seed, 1), on_step))
        words, maps = word_maps(prompt, self.model.text_encoder.offsets(prompt), recorder.maps())
        return AttentionMaps(words, maps, image)

    def ablations(self) -> tuple[Ablation, ...]:
        """See `abilities.Ablatable`."""
        model, schedule, few_step = self.model, self.model.schedule, self.config.few_step
        everywhere = replace(self, model=replace(model, schedule=replace(schedule, guidance_interval=(0.0, 1.0))))
        rescaled = replace(self, model=replace(model, schedule=replace(schedule, guidance_rescale=0.7)))
        low, high = schedule.guidance_interval
        ddim = {"scheduler": "ddim"}
        ablations = [
            Ablation("as recommended", "", self, {}),
            Ablation("plain DDIM, guided at all noise levels", "farther from real images", everywhere, ddim),
            Ablation("DDIM", "farther at so few steps", self, ddim),
            Ablation(
                f"guided at all noise levels, not from {low:g} to {high:g}",
                "less varied, harder contrast",
                everywhere,
                {},
            ),
            Ablation("guidance rescaled by 0.7", "softer contrast", rescaled, {}),
        ]
        if model.few_step_unet is not None:
            settings = {"scheduler": FEW_STEP, "num_inference_steps": few_step.num_steps}
            change = f"{FEW_STEP}, {few_step.num_steps} steps"
            ablations.append(Ablation(change, "a little farther, in fewer passes", self, settings))
        return tuple(ablations)

    def noise_schedule(self) -> NoiseSchedule:
        """See `abilities.NoiseScheduled`: the same for every scheduler."""
        schedule = self.model.schedule
        alpha_bar = make_scheduler(schedule.scheduler, schedule).alphas_cumprod.double()
        alphas, sigmas = alpha_bar.sqrt().tolist(), (1 - alpha_bar).sqrt().tolist()
        return NoiseSchedule(tuple(map(float, range(len(alpha_bar)))), tuple(alphas), tuple(sigmas))

    def visited_timesteps(self, scheduler: str, num_inference_steps: int) -> tuple[float, ...]:
        """See `abilities.NoiseScheduled`; errors as of `model.make_scheduler`."""
        return tuple(make_scheduler(scheduler, self.model.schedule, num_inference_steps).timesteps.double().tolist())

    @torch.inference_mode()
    def encode(self, images: Tensor, label: str | None = None) -> Tensor:
        """See `abilities.Autoencoding`; (B, C, h, w). This model knows no classes."""
        self._refuse_class(label)
        with autocast(self.device):
            return self.model.encode(images.to(self.device))

    @torch.inference_mode()
    def decode(self, latents: Tensor, label: str | None = None) -> Tensor:
        """See `abilities.Autoencoding`."""
        self._refuse_class(label)
        with autocast(self.device):
            return self.model.decode_latents(latents.to(self.device))

    @torch.inference_mode()
    def diffusion_latents(self, images: Tensor) -> Tensor:
        """See `abilities.Predicting`."""
        return self.model.statistics.normalize(self.encode(images))

    @torch.inference_mode()
    def predict(self, latents: Tensor, noise: Tensor, level: float, prompt: str) -> Tensor:
        """See `abilities.Predicting`."""
        model, schedule = self.model, self.model.schedule
        scheduler = make_scheduler("ddim", schedule)
        timestep = torch.tensor(min(int(level * schedule.num_train_timesteps), schedule.num_train_timesteps - 1))
        alpha_t, sigma_t = alpha_sigma(scheduler, timestep, latents)
        x_t = alpha_t * latents + sigma_t * noise
        condition = model.embed([prompt] * len(latents))
        with autocast(self.device):
            output = run_unet(model.unet, x_t, timestep, condition)
        x_0, epsilon = predict_x0_and_noise(scheduler, output, x_t, timestep)
        return alpha_t * epsilon - sigma_t * x_0

    def adaptable(self) -> Mapping[str, nn.Module]:
        """See `abilities.Adaptable`."""
        return {UNET: self.model.unet, TEXT_ENCODER: self.model.text_encoder.transformer}

    def adapted(self, change: Callable[[str, nn.Module], nn.Module], manifest: Manifest) -> LatentDiffusionEngine:
        """See `abilities.Adaptable`; the distilled denoiser changes as the other does."""
        model, text = self.model, self.model.text_encoder
        few_step = None if model.few_step_unet is None else change(UNET, model.few_step_unet)
        encoder = TextEncoder(change(TEXT_ENCODER, text.transformer), text.tokenizer, text.max_length, text.projection)
        changed = replace(model, unet=change(UNET, model.unet), few_step_unet=few_step, text_encoder=encoder.eval())
        return replace(self, model=changed, manifest=manifest)

    def denoising_errors(self, latents: Tensor, prompts: Sequence[str], generator: torch.Generator) -> Tensor:
        """See `abilities.Adaptable`; timesteps are spread evenly over all."""
        model, schedule = self.model, self.model.schedule
        timesteps = (spread_evenly(len(latents), generator) * schedule.num_train_timesteps).long().to(latents.device)
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        x_t, wanted = noisy_and_target(make_scheduler("ddpm", schedule), latents, noise, timesteps)
        output = run_unet(model.unet, x_t, timesteps, model.embed(prompts))
        return (output - wanted).square().mean(dim=(1, 2, 3))

    def _refuse_class(self, label: str | None) -> None:
        if label is not None:
            check_condition(self.manifest, ClassLabel(label))


def _read_prompt(request: GenerationRequest) -> tuple[str, float]:
    """Prompt and guidance scale of a resolved request."""
    assert isinstance(request.condition, TextPrompt) and request.guidance_scale is not None
    return request.condition.text, request.guidance_scale


def _read_sampling(request: GenerationRequest) -> Sampling:
    assert request.scheduler and request.num_inference_steps
    conditioning = Conditioning.single(*_read_prompt(request))
    return Sampling(conditioning, request.scheduler, request.num_inference_steps, request.eta)


def load_engine(folder: Path, device: str | None = None, pretrained: str | None = None) -> LatentDiffusionEngine:
    """Verify a checkpoint folder against its manifest and load it in float32; errors as `open_checkpoint`.

    For `pretrained` see `TextEncoder.load`.
    """
    target = pick_device(device)

    def build(manifest: Manifest, config: LatentDiffusionConfig) -> tuple[LatentDiffusion, Stored]:
        autoencoder = CompactAutoencoder.from_pretrained(folder / "autoencoder", **LOADING)
        unet = UNet2DConditionModel.from_pretrained(folder / "unet", **LOADING)
        text_encoder = TextEncoder.load(folder, pretrained)
        stored = {"autoencoder": autoencoder.state_dict(), "unet": unet.state_dict(), **text_encoder.stored()}
        statistics = LatentStatistics.from_json(manifest.preprocessing)
        channels = {*statistics.mean.shape, *statistics.std.shape, *statistics.axes.shape}
        if channels | {statistics.fold**2 * autoencoder.config.latent_channels} != {unet.config.in_channels}:
            raise ValueError(f"its parts have different numbers of latent channels: {sorted(channels)}")
        few_step = None
        if FEW_STEP in manifest.schedulers:
            # what trains it is slow to import
            from xray_generator.families.latent_diffusion.few_step_task import load_student, student_tensors

            stored[FEW_STEP] = student_tensors(unet)
            few_step = freeze(load_student(unet, folder / FEW_STEP), target)
            few_step.set_attn_processor(RecordableAttention())
        unet.set_attn_processor(RecordableAttention())
        refinement = None
        if config.detail_training is not None:
            refinement = build_refinement(config.detail)
            load_model(refinement, folder / REFINEMENT / "model.safetensors")
            refinement = freeze(refinement, target)
            stored[REFINEMENT] = refinement.state_dict()
        model = LatentDiffusion(
            freeze(autoencoder, target),
            freeze(unet, target),
            freeze(text_encoder, target),
            statistics,
            config.schedule,
            config.image_size,
            few_step,
            refinement,
            config.detail.num_inference_steps,
        )
        return model, stored

    manifest, config, model = open_checkpoint(folder, LatentDiffusionConfig, build)
    return LatentDiffusionEngine(model, manifest, config, target)
