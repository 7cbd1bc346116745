"""Between two images, and from one to another: morphs and edits along the model's own trajectories."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from xray_generator.families.latent_diffusion.guidance import Conditioning, GuidedDenoiser, of_prompt
from xray_generator.families.latent_diffusion.model import LatentDiffusion
from xray_generator.families.latent_diffusion.trajectory import (
    FIXED_POINT_ITERATIONS,
    StepCallback,
    denoise,
    first_step,
    invert,
)
from xray_generator.types import Edit


def mix(first: str, second: str, weight: float, guidance_scale: float) -> Conditioning:
    """What two prompts ask together; a prompt without weight is left out."""
    parts = ((first, 1 - weight), (second, weight)) if first != second else ((first, 1.0),)
    return Conditioning(tuple((text, share) for text, share in parts if share > 0), guidance_scale)


def edit_generated(
    model: LatentDiffusion,
    noise: Tensor,
    source_prompt: str,
    edit: Edit,
    scheduler: str,
    num_inference_steps: int,
    guidance_scale: float,
    generator: torch.Generator,
    on_step: StepCallback,
) -> tuple[Tensor, Tensor]:
    """(the image's own latents, edited): both follow one trajectory to the step of `edit.strength`, then part."""
    begin = first_step(num_inference_steps, edit.strength)
    total = 2 * num_inference_steps - begin
    job = model.scheduler(scheduler, num_inference_steps)
    source = model.denoiser(of_prompt(source_prompt, guidance_scale), scheduler)
    shared = denoise(job, source, noise * job.init_noise_sigma, generator, _counted(on_step, 0, total), end=begin)
    state, parted = generator.get_state(), copy.deepcopy(job)  # a multistep solver goes on with what it remembers
    before = denoise(job, source, shared, generator, _counted(on_step, begin, total), begin=begin)
    generator.set_state(state)  # a scheduler that adds noise adds the same to both
    target = model.denoiser(of_prompt(edit.prompt, guidance_scale), scheduler)
    after = denoise(parted, target, shared, generator, _counted(on_step, num_inference_steps, total), begin=begin)
    return before, after


def edit_given(
    model: LatentDiffusion,
    latents: Tensor,
    edit: Edit,
    num_inference_steps: int,
    guidance_scale: float,
    generator: torch.Generator,
    on_step: StepCallback,
) -> Tensor:
    """The latents of an image (1, D, h, w), edited, along DDIM.

    By inversion, guidance leads from what the image shows to what it is to show, so that nothing else moves: with equal
    prompts the image comes back. By noise it is SDEdit (Meng et al. 2022, arXiv:2108.01073).
    """
    job = model.scheduler("ddim", num_inference_steps)
    begin = first_step(num_inference_steps, edit.strength)
    ahead = num_inference_steps - begin
    inverted = ahead * FIXED_POINT_ITERATIONS if edit.method == "inversion" else 0
    if edit.method == "inversion":
        plain, done = GuidedDenoiser(model, of_prompt(edit.source_prompt, 1.0)), 0

        def watched(noisy: Tensor, timestep: Tensor) -> Tensor:
            nonlocal done
            output = plain(noisy, timestep)
            done += 1
            on_step(done, inverted + ahead, latents)
            return output

        start = invert(job, watched, latents, begin)
        wanted = Conditioning(((edit.prompt, 1.0),), guidance_scale, edit.source_prompt)
    else:
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        start = job.add_noise(latents, noise, job.timesteps[begin : begin + 1])
        wanted = of_prompt(edit.prompt, guidance_scale)
    counted = _counted(on_step, inverted, inverted + ahead)
    return denoise(job, GuidedDenoiser(model, wanted), start, generator, counted, begin=begin)


def _counted(on_step: StepCallback, done: int, total: int) -> StepCallback:
    return lambda step, _steps, estimate: on_step(done + step, total, estimate)
