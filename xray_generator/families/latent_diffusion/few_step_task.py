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
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from xray_generator.abilities import UNET
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
from xray_generator.nn.adapter import (
    adapter_tensors,
    add_adapter,
    empty_tensors,
    find_layers,
    fuse,
    read_adapter,
    save_adapter,
)
from xray_generator.nn.diffusion import alpha_sigma, predict_x0_and_noise

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "net.0.proj", "net.2", "proj_in", "proj_out")
CONVOLUTIONS = ("conv", "conv1", "conv2", "conv_shortcut", "conv_in", "conv_out", "time_emb_proj")
ADAPTED = (*ATTENTION, *CONVOLUTIONS)  # ends of the names of the layers that get an adapter
MAX_VALIDATION = 128


def make_student(unet: UNet2DConditionModel, rank: int) -> UNet2DConditionModel:
    """A copy of a denoiser of which only a new low-rank adapter can be trained; it begins as the denoiser itself."""
    student = copy.deepcopy(unet)
    add_adapter(student, find_layers(student, ADAPTED), rank, alpha=rank, dropout=0.0)
    return student


def save_student(student: UNet2DConditionModel, folder: Path) -> None:
    """Write the adapter of a student, which `load_student` reads, in 16 bit."""
    folder.mkdir()
    save_adapter(_unnamed(adapter_tensors({UNET: student}, scale=1.0)), folder)


def load_student(unet: UNet2DConditionModel, folder: Path) -> UNet2DConditionModel:
    """A copy of a denoiser with the adapter of a folder added to its weights; errors as of `adapter.read_adapter`."""
    return fuse(unet, [(read_adapter(folder, {UNET: unet})[UNET], 1.0)])


def student_tensors(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    """What the file of an adapter of rank 1 holds: a pair for each adapted layer."""
    return _unnamed(empty_tensors({UNET: unet}, {UNET: find_layers(unet, ADAPTED)}, rank=1))


def _unnamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the name of the network, as in the files of earlier checkpoints."""
    return {name.removeprefix(f"{UNET}."): value for name, value in tensors.items()}


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
        self.student = make_student(denoiser.model.unet, self.settings.rank)
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
