"""Stage 4: a low-rank adapter of the denoiser that draws in a few passes, with guidance built in.

Progressive distillation (Salimans & Ho 2022, arXiv:2202.00512) of a guided teacher (Meng et al. 2023,
arXiv:2210.03142), the student kept as a low-rank adapter (Hu et al. 2021, arXiv:2106.09685; Luo et al. 2023,
arXiv:2311.05556): a few per cent of the denoiser's size.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders.lora_base import LORA_WEIGHT_NAME_SAFE
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from xray_generator.families.latent_diffusion.config import FewStepConfig
from xray_generator.families.latent_diffusion.denoiser_task import (
    DenoiserTask,
    LatentRows,
    draw_previews,
    embed_text,
    empty_text,
    mean_over,
)
from xray_generator.families.latent_diffusion.guidance import Condition, guide_rescaled, is_guided_at, run_unet
from xray_generator.families.latent_diffusion.model import FEW_STEP, LatentDiffusion, make_scheduler
from xray_generator.nn.diffusion import alpha_sigma, predict_x0_and_noise

ADAPTED = (  # names of the layers that get an adapter, whole
    r"(.*\.)?(to_[qkv]|to_out\.0|net\.0\.proj|net\.2|proj_(in|out)|conv([12]|_shortcut|_in|_out)?|time_emb_proj)"
)
MAX_VALIDATION = 128


def add_adapter(unet: UNet2DConditionModel, rank: int) -> UNet2DConditionModel:
    """A copy of a denoiser of which only a new low-rank adapter can be trained; it begins as the denoiser itself."""
    student = copy.deepcopy(unet)
    student.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=ADAPTED))
    for name, parameter in student.named_parameters():
        parameter.requires_grad_("lora_" in name)
    return student


def save_adapter(student: UNet2DConditionModel, folder: Path) -> None:
    """Write the adapter as safetensors that `merge_adapter` reads.

    Not by diffusers' `save_lora_adapter`: it adds two entries of metadata, whose order, and so the file's hash, is
    random.
    """
    folder.mkdir(parents=True)
    tensors = get_peft_model_state_dict(student)
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / LORA_WEIGHT_NAME_SAFE)


def merge_adapter(unet: UNet2DConditionModel, folder: Path) -> UNet2DConditionModel:
    """A copy of a denoiser with the adapter of a folder added to its weights."""
    student = copy.deepcopy(unet)
    student.load_lora_adapter(str(folder), prefix=None, use_safetensors=True)
    student.fuse_lora()
    student.unload_lora()
    return student


def adapter_tensors(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    """The tensors of an adapter of rank 1: one pair for each adapted layer."""
    tensors: dict[str, Tensor] = get_peft_model_state_dict(add_adapter(unet, 1))
    return tensors


class DistillationLoss(nn.Module):
    """One student step against two or more guided DDIM steps of the teacher between the same noise levels."""

    def __init__(self, model: LatentDiffusion, student: UNet2DConditionModel, settings: FewStepConfig) -> None:
        super().__init__()
        self.student, self.settings, self.model = student, settings, model
        for network in (model.unet, model.text_encoder):  # the teacher: no part of this module, which is trained
            network.eval().requires_grad_(requires_grad=False)
        num_teacher_steps = settings.num_steps * settings.teacher_steps
        self.scheduler = make_scheduler("ddim", model.schedule, num_teacher_steps)

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error of the v, or epsilon, that leads x_0 (B, D, S, S) with noise where the teacher went."""
        x_0 = batch["latents"].contiguous(memory_format=torch.channels_last)
        noise = torch.randn(x_0.shape, generator=generator).to(x_0)
        step = int(torch.randint(self.settings.num_steps, (), generator=generator)) * self.settings.teacher_steps
        timestep = self.scheduler.timesteps[step]
        alpha_t, sigma_t = alpha_sigma(self.scheduler, timestep, x_0)
        x_t = alpha_t * x_0 + sigma_t * noise
        with torch.no_grad():
            text = self._add_empty_text(batch)
            condition = embed_text(self.model.text_encoder, text)
            x_end, alpha_end, sigma_end = self._run_teacher(x_t, step, condition)
            # the x_0 for which one DDIM step leads from x_t to x_end (Salimans & Ho 2022, appendix G)
            target_x_0 = (x_end - sigma_end / sigma_t * x_t) / (alpha_end - sigma_end / sigma_t * alpha_t)
            is_epsilon = self.model.schedule.prediction_type == "epsilon"
            target = (x_t - alpha_t * target_x_0 if is_epsilon else alpha_t * x_t - target_x_0) / sigma_t
        output = run_unet(self.student, x_t, timestep, condition.take(slice(len(x_0), None)))
        if self.model.schedule.prediction_type == "sample":
            output = (alpha_t * x_t - output) / sigma_t
        error = F.mse_loss(output, target)
        return {"loss": error / target.square().mean(), "mse": error}

    def _add_empty_text(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The text (2 B, ...) of B empty prompts, then of the batch."""
        mask = batch["attention_mask"]
        empty = empty_text(self.model.text_encoder, mask.shape[1], mask.device)
        return {name: torch.cat([value.expand_as(batch[name]), batch[name]]) for name, value in empty.items()}

    def _run_teacher(self, x_t: Tensor, first_step: int, condition: Condition) -> tuple[Tensor, Tensor, Tensor]:
        """x after `teacher_steps` guided DDIM steps, with alpha and sigma there; the condition is of 2 B prompts."""
        unet, schedule, prompted = self.model.unet, self.model.schedule, condition.take(slice(len(x_t), None))
        steps = [*pairwise([*self.scheduler.timesteps, None])][first_step:][: self.settings.teacher_steps]
        for timestep, end in steps:
            if is_guided_at(schedule, timestep):
                pair = run_unet(unet, x_t.repeat(2, 1, 1, 1), timestep, condition)
                uncond, cond = pair.chunk(2)
                output = guide_rescaled(cond, uncond, self.settings.guidance_scale, schedule.guidance_rescale)
            else:
                output = run_unet(unet, x_t, timestep, prompted)
            x_0, noise = predict_x0_and_noise(self.scheduler, output, x_t, timestep)
            alpha_end, sigma_end = alpha_sigma(self.scheduler, end, x_t)
            x_t = alpha_end * x_0 + sigma_end * noise
        return x_t, alpha_end, sigma_end


class FewStepTask:
    """Distills a trained denoiser on its own training latents."""

    def __init__(self, denoiser: DenoiserTask) -> None:
        self.denoiser, self.settings = denoiser, denoiser.config.few_step
        self.student = add_adapter(denoiser.model.unet, self.settings.rank)
        self.module = DistillationLoss(denoiser.model, self.student, self.settings)

    def dataset(self) -> LatentRows:
        """The denoiser's training latents."""
        return self.denoiser.training

    def preview(self) -> Tensor:
        """One image for each of some prompts by the student, then by the teacher in twenty steps, from equal noise."""
        model, prompts = replace(self.denoiser.model, few_step_unet=self.student), self.denoiser.prompts
        few, many = (FEW_STEP, self.settings.num_steps), ("dpm++", 20)
        scale = self.settings.guidance_scale
        return torch.cat([draw_previews(model, prompts, *sampler, scale) for sampler in (few, many)])

    def validate(self) -> Mapping[str, float]:
        """The relative error over some validation latents at fixed noise."""
        if not len(self.denoiser.validation):
            return {}
        return {"validation_loss": mean_over(self.module, self.denoiser.validation, "loss", MAX_VALIDATION)}
