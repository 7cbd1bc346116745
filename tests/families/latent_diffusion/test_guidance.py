"""Guidance reaches the image: the formula, the passes it costs, and what it changes (trap T1)."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig, ScheduleConfig
from xray_generator.families.latent_diffusion.guidance import NATIVE, Conditioning, GuidedDenoiser, of_prompt
from xray_generator.families.latent_diffusion.model import LatentDiffusion, make_scheduler
from xray_generator.types import StudioError

MakeModel = Callable[[LatentDiffusionConfig], LatentDiffusion]
PROMPT = "PA chest X-ray of an adult with cardiomegaly"


@pytest.fixture(scope="module")
def model(make_model: MakeModel, tiny_config: LatentDiffusionConfig) -> LatentDiffusion:
    return make_model(tiny_config)


def sample(model: LatentDiffusion, guidance: float, prompt: str = PROMPT, steps: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(1, 16, 4, 4, generator=generator)
    with torch.no_grad():
        return model.sample_latents(noise, of_prompt(prompt, guidance), "ddim", steps, generator, lambda *_: None)


@torch.no_grad()
def plain(model: LatentDiffusion, latents: Tensor, timestep: Tensor, prompt: str) -> Tensor:
    """One UNet call for one prompt, as plain as can be."""
    ids, mask = model.text_encoder.tokenize([prompt])
    return model.unet(
        latents,
        timestep,
        encoder_hidden_states=model.text_encoder(ids, mask),
        encoder_attention_mask=mask,
        class_labels=torch.tensor([NATIVE]),
    ).sample


@pytest.mark.parametrize("guidance", [0.0, 0.5, 1.0, 3.0, 7.0])
def test_guidance_is_the_formula_on_two_plain_passes(model: LatentDiffusion, guidance: float) -> None:
    job = make_scheduler("ddim", model.schedule)
    job.set_timesteps(3)
    latents = torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(5))
    for timestep in job.timesteps:
        without, with_prompt = plain(model, latents, timestep, ""), plain(model, latents, timestep, PROMPT)
        latents = job.step(without + guidance * (with_prompt - without), timestep, latents).prev_sample
    assert torch.allclose(sample(model, guidance), latents, atol=2e-4)


def test_guidance_changes_the_latents(model: LatentDiffusion) -> None:
    assert (sample(model, 1.0) - sample(model, 7.0)).abs().mean() > 1e-3


def test_prompt_changes_the_latents_unless_guidance_is_0(model: LatentDiffusion) -> None:
    other = "Normal chest X-ray"
    assert not torch.equal(sample(model, 3.0), sample(model, 3.0, other))
    assert torch.allclose(sample(model, 0.0), sample(model, 0.0, other), atol=1e-5)


@pytest.mark.parametrize(("guidance", "batch"), [(1.0, 1), (0.0, 2), (3.0, 2)])
def test_one_pass_a_step(model: LatentDiffusion, guidance: float, batch: int) -> None:
    sizes: list[int] = []
    hook = model.unet.register_forward_hook(lambda _module, inputs, _output: sizes.append(len(inputs[0])))
    sample(model, guidance, steps=4)
    hook.remove()
    assert sizes == [batch] * 4


def test_text_encoder_runs_once_an_image(model: LatentDiffusion) -> None:
    calls: list[int] = []
    hook = model.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    sample(model, 3.0, steps=5)
    hook.remove()
    assert len(calls) == 1


def test_last_estimate_is_the_result(model: LatentDiffusion) -> None:
    estimates: list[Tensor] = []
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(1, 16, 4, 4, generator=generator)
    with torch.no_grad():
        latents = model.sample_latents(
            noise, of_prompt(PROMPT, 3.0), "ddim", 3, generator, lambda *step: estimates.append(step[2])
        )
    assert len(estimates) == 3
    assert torch.allclose(estimates[-1], latents, atol=1e-4)


def test_weighted_prompts_and_a_baseline_are_the_formula_on_plain_passes(model: LatentDiffusion) -> None:
    latents = torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(5))
    other, timestep = "Normal chest X-ray", torch.tensor(400)
    conditioning = Conditioning(((PROMPT, 0.25), (other, 0.75)), 4.0, baseline="a chest X-ray")
    with torch.no_grad():
        output = GuidedDenoiser(model, conditioning)(latents, timestep)
    base, first, second = (plain(model, latents, timestep, text) for text in ("a chest X-ray", PROMPT, other))
    torch.testing.assert_close(output, base + 4 * (0.25 * first + 0.75 * second - base), atol=1e-4, rtol=1e-3)


def test_a_prompt_guided_away_from_itself_is_the_plain_model(model: LatentDiffusion) -> None:
    latents = torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        output = GuidedDenoiser(model, Conditioning(((PROMPT, 1.0),), 7.0, PROMPT))(latents, torch.tensor(400))
    torch.testing.assert_close(output, plain(model, latents, torch.tensor(400), PROMPT), atol=1e-4, rtol=1e-3)


def test_guidance_keeps_to_its_interval(model: LatentDiffusion) -> None:
    schedule = replace(model.schedule, guidance_interval=(0.2, 0.6))
    denoiser = GuidedDenoiser(replace(model, schedule=schedule), of_prompt(PROMPT, 4.0))
    everywhere = GuidedDenoiser(model, of_prompt(PROMPT, 4.0))
    latents = torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(5))
    for timestep, is_guided in ((100, False), (400, True), (700, False)):
        time = torch.tensor(timestep)
        with torch.no_grad():
            expected = everywhere(latents, time) if is_guided else plain(model, latents, time, PROMPT)
            torch.testing.assert_close(denoiser(latents, time), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rescale", [0.5, 1.0])
def test_rescaled_guidance_has_the_spread_of_the_prompted_output(model: LatentDiffusion, rescale: float) -> None:
    latents, time = torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(5)), torch.tensor(400)
    schedule = replace(model.schedule, guidance_rescale=rescale)
    with torch.no_grad():
        spread = GuidedDenoiser(replace(model, schedule=schedule), of_prompt(PROMPT, 7.0))(latents, time).std((2, 3))
        guided = GuidedDenoiser(model, of_prompt(PROMPT, 7.0))(latents, time).std((2, 3))
    prompted = plain(model, latents, time, PROMPT).std((2, 3))
    torch.testing.assert_close(spread, rescale * prompted + (1 - rescale) * guided, atol=1e-4, rtol=1e-3)


def test_an_interval_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(StudioError, match="least share and the greatest, not 0.9, 0.3"):
        ScheduleConfig(guidance_interval=(0.9, 0.3))
