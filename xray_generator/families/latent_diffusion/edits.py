"""Edits along the model's own trajectories: of an image that it generated, and of one that is given."""

from __future__ import annotations

import copy

import torch
from torch import Generator, Tensor

from xray_generator.families.latent_diffusion.guidance import Conditioning, Sampling
from xray_generator.families.latent_diffusion.model import LatentDiffusion, make_scheduler
from xray_generator.nn.diffusion import (
    FIXED_POINT_ITERATIONS,
    INVERTIBLE,
    StepCallback,
    denoise,
    first_step,
    invert,
)
from xray_generator.types import Edit


def edit_generated(
    model: LatentDiffusion, noise: Tensor, sampling: Sampling, edit: Edit, generator: Generator, on_step: StepCallback
) -> tuple[Tensor, Tensor]:
    """(x_0 of the image, x_0 edited): one trajectory up to the step of `edit.strength`, where the prompts part."""
    conditioning, name, num_steps, eta = sampling
    begin = first_step(num_steps, edit.strength)
    total = 2 * num_steps - begin
    scheduler, source = make_scheduler(name, model.schedule, num_steps), model.denoiser(conditioning, name)
    shared = denoise(scheduler, source, noise, generator, _offset(on_step, 0, total), end=begin, eta=eta)
    state, fork = generator.get_state(), copy.deepcopy(scheduler)  # a multistep solver remembers earlier steps
    before = denoise(scheduler, source, shared, generator, _offset(on_step, begin, total), begin=begin, eta=eta)
    generator.set_state(state)  # a scheduler that adds noise adds the same to both
    target = model.denoiser(Conditioning.single(edit.prompt, conditioning.guidance_scale), name)
    after = denoise(fork, target, shared, generator, _offset(on_step, num_steps, total), begin=begin, eta=eta)
    return before, after


def edit_given(
    model: LatentDiffusion, x_0: Tensor, sampling: Sampling, edit: Edit, generator: Generator, on_step: StepCallback
) -> Tensor:
    """x_0 (1, D, h, w) of an image, edited along DDIM.

    By inversion, guidance leads from the prompt of the image to the new one, so that nothing else moves: with equal
    prompts the image comes back. By noise it is SDEdit (Meng et al. 2022, arXiv:2108.01073).
    """
    num_steps, guidance_scale = sampling.num_inference_steps, sampling.conditioning.guidance_scale
    scheduler = make_scheduler(INVERTIBLE, model.schedule, num_steps)
    begin = first_step(num_steps, edit.strength)
    num_inversion_calls, total = 0, num_steps - begin
    conditioning = Conditioning.single(edit.prompt, guidance_scale)
    if edit.method == "inversion":
        num_inversion_calls = total * FIXED_POINT_ITERATIONS
        total += num_inversion_calls
        plain, calls = model.denoiser(Conditioning.single(edit.source_prompt, 1.0), INVERTIBLE), 0

        def count_calls(x_t: Tensor, timestep: Tensor) -> Tensor:
            nonlocal calls
            output = plain(x_t, timestep)
            calls += 1
            on_step(calls, total, x_0)
            return output

        start = invert(scheduler, count_calls, x_0, begin)
        conditioning = Conditioning(((edit.prompt, 1.0),), guidance_scale, edit.source_prompt)
    else:
        noise = torch.randn(x_0.shape, generator=generator).to(x_0)
        start = scheduler.add_noise(x_0, noise, scheduler.timesteps[begin : begin + 1])
    report = _offset(on_step, num_inversion_calls, total)
    return denoise(scheduler, model.denoiser(conditioning, INVERTIBLE), start, generator, report, begin=begin)


def _offset(on_step: StepCallback, done: int, total: int) -> StepCallback:
    return lambda step, _steps, x_0: on_step(done + step, total, x_0)
