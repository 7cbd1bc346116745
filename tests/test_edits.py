"""Morphs, edits and attention: where they must equal a plain generation, and what they leave alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from xray_generator.config import dump, parse
from xray_generator.export.recipe import Recipe, recipes
from xray_generator.families.latent_diffusion.attention import word_maps
from xray_generator.families.latent_diffusion.config import ScheduleConfig
from xray_generator.families.latent_diffusion.model import make_scheduler
from xray_generator.generation import attend, edit, generate, morph
from xray_generator.nn.diffusion import denoise, first_step, invert
from xray_generator.nn.interpolation import slerp
from xray_generator.requests import text_request
from xray_generator.studio import Studio
from xray_generator.types import Edit, Engine, GenerationRequest, Image, Morph, StudioError, no_report

A, B = "Normal chest X-ray, PA view", "AP chest X-ray with pleural effusion"


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Engine:
    return Studio(tiny_checkpoint, "cpu").engine()


def ask(prompt: str = A, seed: int = 3, guidance: float = 3.0, scheduler: str = "dpm++") -> GenerationRequest:
    return text_request(prompt, seed=seed, size=64, steps=6, guidance=guidance, scheduler=scheduler)


def draw(engine: Engine, request: GenerationRequest) -> Image:
    return generate(engine, request).images[0]


def test_the_ends_of_a_morph_are_the_two_images(engine: Engine) -> None:
    first, second = ask(A, 3), ask(B, 8, guidance=5.0)
    assert np.array_equal(morph(engine, first, Morph(second, 0.0)).images[0], draw(engine, first))
    assert np.array_equal(morph(engine, first, Morph(second, 1.0)).images[0], draw(engine, second))
    middle = morph(engine, first, Morph(second, 0.5)).images[0]
    assert not np.array_equal(middle, draw(engine, first)) and not np.array_equal(middle, draw(engine, second))


def test_slerp_keeps_the_unit_deviation_of_noise() -> None:
    first, second = (torch.randn(1, 16, 16, 16, generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    for weight in (0.0, 0.3, 0.5, 1.0):
        assert slerp(first, second, weight).std() == pytest.approx(1, abs=0.03)
    assert torch.lerp(first, second, 0.5).std() < 0.75  # what it is for
    torch.testing.assert_close(slerp(first, first.clone(), 0.4), first)


@pytest.mark.parametrize("scheduler", ["dpm++", "ddpm", "unipc"])
def test_before_an_edit_of_a_generated_image_stands_that_image(engine: Engine, scheduler: str) -> None:
    request = ask(scheduler=scheduler)
    for strength in (0.3, 1.0):
        result = edit(engine, None, request, Edit(B, strength))
        assert np.array_equal(result.before, draw(engine, request))
        assert not np.array_equal(result.after.images[0], result.before)


def test_a_full_edit_of_a_generated_image_is_the_other_prompt_at_the_same_seed(engine: Engine) -> None:
    result = edit(engine, None, ask(), Edit(B, 1.0))
    assert np.array_equal(result.after.images[0], draw(engine, ask(B)))


def test_a_stronger_edit_changes_more(engine: Engine) -> None:
    changes = [
        np.abs(result.after.images[0] - result.before).mean()
        for result in (edit(engine, None, ask(), Edit(B, strength)) for strength in (0.0, 0.5, 1.0))
    ]
    assert changes[0] < changes[1] < changes[2]


def test_an_image_edited_to_what_it_shows_comes_back(engine: Engine, real_film: Image) -> None:
    changed = edit(engine, real_film, ask(guidance=7.0), Edit(A, 0.5, A))
    np.testing.assert_allclose(changed.after.images[0], changed.before, atol=0.02)
    other = edit(engine, real_film, ask(guidance=7.0), Edit(B, 0.5, A))
    assert np.abs(other.after.images[0] - other.before).mean() > np.abs(changed.after.images[0] - changed.before).mean()


def test_noise_makes_each_seed_another_edit_and_inversion_makes_the_same(engine: Engine, real_film: Image) -> None:
    for method, is_equal in (("noise", False), ("inversion", True)):
        change = parse(Edit, {"prompt": B, "strength": 0.5, "source_prompt": A, "method": method})
        first, second = (edit(engine, real_film, ask(seed=seed), change).after.images[0] for seed in (1, 2))
        assert np.array_equal(first, second) is is_equal


def test_inversion_finds_the_noise_that_ddim_leads_from() -> None:
    """With the exact denoiser of one Gaussian, inversion and sampling give the image back."""
    scheduler = make_scheduler("ddim", ScheduleConfig(), 20)

    def denoiser(latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        alpha_bar = scheduler.alphas_cumprod[int(timestep)]
        x_0 = alpha_bar.sqrt() * 0.25 / (alpha_bar * 0.25 + 1 - alpha_bar) * latents  # x_0 ~ N(0, 0.5^2)
        noise = (latents - alpha_bar.sqrt() * x_0) / (1 - alpha_bar).sqrt()
        return alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * x_0

    image = 0.5 * torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    noise = invert(scheduler, denoiser, image, begin=4)
    assert not torch.allclose(noise, image, atol=0.1)
    back = denoise(scheduler, denoiser, noise, torch.Generator(), no_report, begin=4)
    torch.testing.assert_close(back, image, atol=2e-3, rtol=0)


def test_strength_says_where_an_edit_begins() -> None:
    assert [first_step(10, strength) for strength in (1.0, 0.7, 0.1, 0.0)] == [0, 3, 9, 9]


def test_attention_is_of_the_image_and_of_every_word(engine: Engine) -> None:
    found = attend(engine, ask(B))
    assert found.words == tuple(B.split())
    assert np.array_equal(found.image, draw(engine, ask(B)))
    assert found.maps.shape == (6, 4, 4) and (found.maps > 0).all()
    assert (found.maps.sum(0) < 1).all()  # the rest is the tokens of begin and end


def test_attention_of_one_drawing_is_not_recorded_in_another(engine: Engine) -> None:
    before = draw(engine, ask())
    attend(engine, ask(B))
    assert np.array_equal(draw(engine, ask()), before)


def test_maps_of_tokens_are_added_up_to_words() -> None:
    maps = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((5, 2, 2), np.float32)
    words, sums = word_maps("no effusion seen", [(0, 0), (0, 2), (3, 7), (7, 11), (0, 0)], maps)
    assert words == ("no", "effusion")  # the end was not read
    assert sums[:, 0, 0].tolist() == [1.0, 5.0]


def test_recipes_name_the_morph_and_the_edit(engine: Engine, real_film: Image) -> None:
    for result in (
        morph(engine, ask(), Morph(ask(B), 0.25)),
        edit(engine, real_film, ask(), Edit(B, 0.4, A)).after,
    ):
        (recipe,) = recipes(result)
        assert recipe.origin is not None
        assert parse(Recipe, json.loads(json.dumps(dump(recipe)))) == recipe
        assert recipe.digest != replace(recipe, origin=None).digest


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "half", True])
def test_weights_and_strengths_out_of_range_are_refused(value: float) -> None:
    with pytest.raises(StudioError, match="from 0 to 1"):
        Morph(ask(), value)
    with pytest.raises(StudioError, match="from 0 to 1"):
        Edit(B, value)


@pytest.fixture(scope="module")
def real_film(tiny_rows: tuple) -> Image:  # type: ignore[type-arg]
    image: Image = tiny_rows[0].image()
    return image
