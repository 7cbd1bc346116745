"""Guidance reaches the image: the formula, the passes it costs, and what it changes."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig, ScheduleConfig
from xray_generator.families.latent_diffusion.facts import encode_facts
from xray_generator.families.latent_diffusion.guidance import Conditioning, Sampling
from xray_generator.families.latent_diffusion.model import LatentDiffusion, make_scheduler
from xray_generator.types import StudioError, no_report

MakeModel = Callable[[LatentDiffusionConfig], LatentDiffusion]
PROMPT = "PA chest X-ray of an adult with cardiomegaly"


@pytest.fixture(scope="module")
def model(make_model: MakeModel, tiny_config: LatentDiffusionConfig) -> LatentDiffusion:
    return make_model(tiny_config)


def sample(model: LatentDiffusion, guidance: float, prompt: str = PROMPT, steps: int = 3) -> Tensor:
    sampling, generator = Sampling(Conditioning.single(prompt, guidance), "ddim", steps), torch.Generator()
    with torch.no_grad():
        return model.sample_latents(unit_noise(), sampling, generator, no_report)


def unit_noise() -> Tensor:
    return torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def guided(model: LatentDiffusion, conditioning: Conditioning, timestep: int) -> Tensor:
    """One guided prediction at `unit_noise`."""
    return model.denoiser(conditioning, "ddim")(unit_noise(), torch.tensor(timestep))


@torch.no_grad()
def plain(model: LatentDiffusion, latents: Tensor, timestep: Tensor, prompt: str) -> Tensor:
    """One UNet call for one prompt, as plain as can be."""
    ids, mask = model.text_encoder.tokenize([prompt])
    return model.unet(
        latents,
        timestep,
        encoder_hidden_states=model.text_encoder(ids, mask),
        encoder_attention_mask=mask,
        class_labels=encode_facts([prompt]),
    ).sample


@pytest.mark.parametrize("guidance", [0.0, 0.5, 1.0, 3.0, 7.0])
def test_guidance_is_the_formula_on_two_plain_passes(model: LatentDiffusion, guidance: float) -> None:
    scheduler, latents = make_scheduler("ddim", model.schedule, 3), unit_noise()
    for timestep in scheduler.timesteps:
        without, with_prompt = plain(model, latents, timestep, ""), plain(model, latents, timestep, PROMPT)
        latents = scheduler.step(without + guidance * (with_prompt - without), timestep, latents).prev_sample
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
    sampling = Sampling(Conditioning.single(PROMPT, 3.0), "ddim", 3)
    with torch.no_grad():
        latents = model.sample_latents(
            unit_noise(), sampling, torch.Generator(), lambda *step: estimates.append(step[2])
        )
    assert len(estimates) == 3
    assert torch.allclose(estimates[-1], latents, atol=1e-4)


def test_weighted_and_negative_prompts_are_the_formula_on_plain_passes(model: LatentDiffusion) -> None:
    other, negative = "Normal chest X-ray", "a chest X-ray"
    output = guided(model, Conditioning(((PROMPT, 0.25), (other, 0.75)), 4.0, negative), 400)
    base, first, second = (plain(model, unit_noise(), torch.tensor(400), text) for text in (negative, PROMPT, other))
    torch.testing.assert_close(output, base + 4 * (0.25 * first + 0.75 * second - base), atol=1e-4, rtol=1e-3)


def test_a_prompt_guided_away_from_itself_is_the_plain_model(model: LatentDiffusion) -> None:
    output = guided(model, Conditioning(((PROMPT, 1.0),), 7.0, PROMPT), 400)
    torch.testing.assert_close(output, plain(model, unit_noise(), torch.tensor(400), PROMPT), atol=1e-4, rtol=1e-3)


def test_interpolation_weighs_the_prompts_and_leaves_out_those_without_weight() -> None:
    assert Conditioning.interpolate("a", "b", 0.25, 2.0).prompts == (("a", 0.75), ("b", 0.25))
    assert Conditioning.interpolate("a", "b", 0.0, 2.0) == Conditioning.single("a", 2.0)
    assert Conditioning.interpolate("a", "b", 1.0, 2.0) == Conditioning.single("b", 2.0)
    assert Conditioning.interpolate("a", "a", 0.5, 2.0) == Conditioning.single("a", 2.0)


@pytest.mark.parametrize(("timestep", "is_guided"), [(100, False), (400, True), (700, False)])
def test_guidance_acts_only_within_its_interval(model: LatentDiffusion, timestep: int, is_guided: bool) -> None:
    limited = replace(model, schedule=replace(model.schedule, guidance_interval=(0.2, 0.6)))
    conditioning = Conditioning.single(PROMPT, 4.0)
    everywhere = guided(model, conditioning, timestep)
    expected = everywhere if is_guided else plain(model, unit_noise(), torch.tensor(timestep), PROMPT)
    torch.testing.assert_close(guided(limited, conditioning, timestep), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rescale", [0.5, 1.0])
def test_rescaled_guidance_has_the_deviation_of_the_conditional_prediction(
    model: LatentDiffusion, rescale: float
) -> None:
    rescaled = replace(model, schedule=replace(model.schedule, guidance_rescale=rescale))
    conditioning = Conditioning.single(PROMPT, 7.0)
    std, full = (guided(one, conditioning, 400).std((2, 3)) for one in (rescaled, model))
    cond = plain(model, unit_noise(), torch.tensor(400), PROMPT).std((2, 3))
    torch.testing.assert_close(std, rescale * cond + (1 - rescale) * full, atol=1e-4, rtol=1e-3)


def test_an_interval_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(StudioError, match="lowest first, not 0.9, 0.3"):
        ScheduleConfig(guidance_interval=(0.9, 0.3))
