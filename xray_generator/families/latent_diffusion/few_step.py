"""A few steps in place of many: a low-rank adapter of the denoiser that draws in four passes, guidance within.

Progressive distillation (Salimans & Ho 2022, arXiv:2202.00512) of a guided teacher (Meng et al. 2023,
arXiv:2210.03142), the student kept as a low-rank adapter (Hu et al. 2021, arXiv:2106.09685; Luo et al. 2023,
arXiv:2311.05556): a few per cent of the denoiser's size.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders.lora_base import LORA_WEIGHT_NAME_SAFE
from peft import LoraConfig, get_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from xray_generator.families.latent_diffusion.config import FewStepConfig
from xray_generator.families.latent_diffusion.denoiser_task import LatentRows, draw_previews, mean_over
from xray_generator.families.latent_diffusion.guidance import acts, guide
from xray_generator.families.latent_diffusion.model import FEW_STEP, LatentDiffusion, make_scheduler
from xray_generator.families.latent_diffusion.trajectory import levels, split

ADAPTED = (
    "to_q",
    "to_k",
    "to_v",
    "to_out.0",
    "net.0.proj",
    "net.2",
    "proj_in",
    "proj_out",
    "conv1",
    "conv2",
    "conv_shortcut",
    "conv",
    "conv_in",
    "conv_out",
    "time_emb_proj",
)
MAX_VALIDATION = 128


def adapted(unet: UNet2DConditionModel, rank: int) -> UNet2DConditionModel:
    """A copy of a denoiser of which only a new low-rank adapter can be trained; it begins as the denoiser itself."""
    student = copy.deepcopy(unet)
    student.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(ADAPTED)))
    for name, parameter in student.named_parameters():
        parameter.requires_grad_("lora_" in name)
    return student


def save_adapter(student: UNet2DConditionModel, folder: Path) -> None:
    """Write the adapter as safetensors that `merged` reads.

    Not by diffusers' `save_lora_adapter`: it adds two entries of metadata, whose order, and so the file's hash, is
    random.
    """
    folder.mkdir(parents=True)
    tensors = get_peft_model_state_dict(student)
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / LORA_WEIGHT_NAME_SAFE)


def merged(unet: UNet2DConditionModel, folder: Path) -> UNet2DConditionModel:
    """A copy of a denoiser with the adapter of a folder added to its weights; ValueError where a part is missing."""
    student = copy.deepcopy(unet)
    student.load_lora_adapter(str(folder), prefix=None, use_safetensors=True)
    with safe_open(folder / LORA_WEIGHT_NAME_SAFE, "pt") as file:
        stored = len(file.keys())
    if stored != len(get_peft_model_state_dict(adapted(unet, 1))):
        raise ValueError(f"{folder.name} holds {stored} tensors, not one pair for each adapted layer")
    student.fuse_lora()
    student.unload_lora()
    return student


class DistillationLoss(nn.Module):
    """One student step against two or more guided DDIM steps of the teacher between the same noise levels."""

    def __init__(self, model: LatentDiffusion, student: UNet2DConditionModel, settings: FewStepConfig) -> None:
        super().__init__()
        self.student, self.settings, self.model = student, settings, model
        for network in (model.unet, model.text_encoder):  # the teacher: no part of this module, which is trained
            network.eval().requires_grad_(requires_grad=False)
        steps = settings.num_steps * settings.teacher_steps
        self.job = make_scheduler("ddim", model.schedule)
        self.job.set_timesteps(steps)

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error of the v, or noise, that leads folded latents (B, D, S, S) where the teacher went."""
        latents = batch["latents"].contiguous(memory_format=torch.channels_last)
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        place = int(torch.randint(self.settings.num_steps, (), generator=generator)) * self.settings.teacher_steps
        timestep = self.job.timesteps[place]
        signal, spread = levels(self.job, timestep, latents)
        noisy = signal * latents + spread * noise
        with torch.no_grad():
            states, mask = self._states(batch)
            reached, end_signal, end_spread = self._teach(noisy, place, states, mask, batch["resolution"])
            # the x_0 of which one DDIM step from `noisy` ends in `reached` (Salimans & Ho 2022, appendix G)
            clean = (reached - end_spread / spread * noisy) / (end_signal - end_spread / spread * signal)
            is_noise = self.model.schedule.prediction_type == "epsilon"
            target = (noisy - signal * clean if is_noise else signal * noisy - clean) / spread
        count = len(latents)
        output = self.student(
            noisy,
            timestep,
            encoder_hidden_states=states[count:],
            encoder_attention_mask=mask[count:],
            class_labels=batch["resolution"],
        ).sample.float()
        if self.model.schedule.prediction_type == "sample":
            output = (signal * noisy - output) / spread
        error = F.mse_loss(output, target)
        scale = F.mse_loss(target, torch.zeros_like(target))
        return {"loss": error / scale, "mse": error}

    def _states(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Embeddings (2 B, L, D) and mask of no prompt, then of each prompt."""
        encoder, mask, count = self.model.text_encoder, batch["attention_mask"], len(batch["attention_mask"])
        empty_ids, empty_mask = (
            x.to(mask.device).expand(count, -1) for x in encoder.tokenize([""], length=mask.shape[1])
        )
        masks = torch.cat([empty_mask, mask])
        if encoder.is_frozen:
            states = torch.cat([encoder.states(empty_ids, empty_mask), batch["text_states"].float()])
            return encoder.project(states), masks
        return encoder(torch.cat([empty_ids, batch["input_ids"]]), masks), masks

    def _teach(
        self, latents: Tensor, place: int, states: Tensor, mask: Tensor, resolution: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Where the guided teacher comes in `teacher_steps` DDIM steps, and the noise level there."""
        unet, schedule, scale = self.model.unet, self.model.schedule, self.settings.guidance_scale
        end_signal, end_spread = torch.ones(()), torch.zeros(())
        for i in range(place, place + self.settings.teacher_steps):
            timestep = self.job.timesteps[i]
            is_guided = acts(schedule, timestep)
            first = 0 if is_guided else len(latents)  # without guidance no pass without a prompt
            output = unet(
                latents.repeat(2, 1, 1, 1)[first:],
                timestep,
                encoder_hidden_states=states[first:],
                encoder_attention_mask=mask[first:],
                class_labels=resolution.repeat(2)[first:],
            ).sample.float()
            if is_guided:
                without, prompted = output.chunk(2)
                output = guide(without, prompted, scale, schedule.guidance_rescale)
            clean, noise = split(self.job, output, latents, timestep)
            if i + 1 < len(self.job.timesteps):
                end_signal, end_spread = levels(self.job, self.job.timesteps[i + 1], latents)
            else:
                end_signal, end_spread = torch.ones_like(end_signal), torch.zeros_like(end_spread)
            latents = end_signal * clean + end_spread * noise
        return latents, end_signal, end_spread


class FewStepTask:
    """Distils a trained model on its own training latents."""

    def __init__(
        self,
        model: LatentDiffusion,
        settings: FewStepConfig,
        rows: LatentRows,
        prompts: Sequence[str],
        validation: LatentRows,
    ) -> None:
        self.settings, self.rows, self.prompts, self.validation = settings, rows, prompts, validation
        self.student = adapted(model.unet, settings.rank)
        self.model = replace(model, few_step_unet=self.student)
        self.module = DistillationLoss(model, self.student, settings)

    def dataset(self) -> LatentRows:
        """The denoiser's training latents."""
        return self.rows

    def preview(self) -> Tensor:
        """One image for each of some prompts by the student, then by the teacher in twenty steps, from equal noise."""
        few, many = (FEW_STEP, self.settings.num_steps), ("dpm++", 20)
        drawn = [draw_previews(self.model, self.prompts, *way, self.settings.guidance_scale) for way in (few, many)]
        return torch.cat(drawn)

    def validate(self) -> Mapping[str, float]:
        """The relative error over some validation latents at fixed noise."""
        if not len(self.validation):
            return {}
        return {"validation_loss": mean_over(self.module, self.validation, "loss", MAX_VALIDATION)}
