"""Solvers and likelihood where the answer is known in closed form: data that are Gaussian."""

import math
from itertools import pairwise

import pytest
import torch

from xray_generator.families.flow_matching.config import NetworkConfig
from xray_generator.families.flow_matching.likelihood import (
    bits_per_dimension,
    dequantize,
    log_density,
    there_and_back,
)
from xray_generator.families.flow_matching.model import FlowMatching, build_network, solve, time_grid
from xray_generator.types import StudioError

MEAN, STD = -0.3, 0.4


def gaussian_field(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """E[noise - x_0 | x] where x_0 ~ N(MEAN, STD^2) in every pixel: linear in x."""
    variance = (1 - sigma) ** 2 * STD**2 + sigma**2
    slope = (sigma - (1 - sigma) * STD**2) / variance
    return slope * (x - (1 - sigma) * MEAN) - MEAN


def exact(noise: torch.Tensor, sigma: float = 0.0) -> torch.Tensor:
    """Where the flow carries noise: x(sigma) = (1 - sigma) MEAN + sqrt(variance) noise."""
    return (1 - sigma) * MEAN + math.sqrt((1 - sigma) ** 2 * STD**2 + sigma**2) * noise


@pytest.fixture
def noise() -> torch.Tensor:
    """(2, 1, 8, 8)."""
    return torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("num_steps", [1, 2, 7, 40])
def test_the_grid_runs_from_exactly_one_to_exactly_zero(num_steps: int) -> None:
    grid = time_grid(num_steps)
    assert grid[0] == 1 and grid[-1] == 0 and len(grid) == num_steps + 1
    assert all(a - b == pytest.approx(1 / num_steps) for a, b in pairwise(grid))


@pytest.mark.parametrize(
    ("solver", "num_steps", "error"),
    [("euler", 200, 0.02), ("heun", 40, 0.005), ("dopri5", 1, 0.002), ("dopri5", 5, 0.005)],
)
def test_every_solver_reaches_what_the_flow_gives(
    solver: str, num_steps: int, error: float, noise: torch.Tensor
) -> None:
    found = solve(gaussian_field, noise, num_steps, solver, lambda *_: None)
    assert (found - exact(noise)).abs().max() < error


@pytest.mark.parametrize("solver", ["euler", "heun"])
@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_steps_are_those_of_the_textbook(solver: str, num_steps: int, noise: torch.Tensor) -> None:
    x, grid = noise, time_grid(num_steps)
    for sigma, following in pairwise(grid):
        first = gaussian_field(x, sigma)
        slope = first
        if solver == "heun" and following > 0:  # the last step has no second evaluation
            slope = (first + gaussian_field(x + (following - sigma) * first, following)) / 2
        x = x + (following - sigma) * slope
    assert torch.allclose(solve(gaussian_field, noise, num_steps, solver, lambda *_: None), x, atol=1e-5)


def test_heun_is_nearer_than_euler_at_equal_steps(noise: torch.Tensor) -> None:
    errors = {
        solver: float((solve(gaussian_field, noise, 8, solver, lambda *_: None) - exact(noise)).abs().max())
        for solver in ("euler", "heun")
    }
    assert errors["heun"] < errors["euler"] / 2


@pytest.mark.parametrize("solver", ["euler", "heun", "dopri5"])
def test_each_step_is_told_with_its_state(solver: str, noise: torch.Tensor) -> None:
    told: dict[int, torch.Tensor] = {}
    end = solve(gaussian_field, noise, 4, solver, lambda step, total, x: told.update({step: x}) if total == 4 else None)
    assert list(told) == [1, 2, 3, 4]
    assert torch.equal(told[4], end)


def test_bits_per_dimension_are_those_of_the_gaussian(noise: torch.Tensor) -> None:
    x = exact(noise[:1])
    found = log_density(gaussian_field, x, torch.Generator().manual_seed(1), num_probes=4)
    true = float(torch.distributions.Normal(MEAN, STD).log_prob(x).sum())
    bits = [bits_per_dimension(float(value), x.numel()) for value in found.values]
    assert bits == pytest.approx([bits_per_dimension(true, x.numel())] * 4, rel=0.01)  # a linear field: no variance
    assert torch.allclose(found.noise, noise[:1], atol=0.005)


def test_hutchinson_is_unbiased_where_pixels_act_on_each_other() -> None:
    generator = torch.Generator().manual_seed(2)
    mixing = torch.randn(16, 16, generator=generator) * 0.1

    def field(x: torch.Tensor, sigma: float) -> torch.Tensor:
        return (x.flatten(1) @ mixing.T).view(x.shape)

    x = torch.randn(1, 1, 4, 4, generator=generator)
    found = log_density(field, x, generator, num_probes=4_000)
    carried = torch.linalg.matrix_exp(mixing) @ x.flatten()
    true = float(torch.distributions.Normal(0, 1).log_prob(carried).sum() + mixing.trace())
    error = float(found.values.std()) / 4_000**0.5
    assert float(found.values.mean()) == pytest.approx(true, abs=4 * error + 0.01)


def test_uniform_gray_levels_take_eight_bits() -> None:
    nats = math.log(1 / 2) * 100  # density 1/2 on [-1, 1] in each of 100 pixels
    assert bits_per_dimension(nats, 100) == pytest.approx(8)
    levels = torch.tensor([0, 255], dtype=torch.uint8)
    spread = torch.stack([dequantize(levels, torch.Generator().manual_seed(seed)) for seed in range(200)])
    assert spread.min() >= -1 and spread.max() <= 1
    assert spread[:, 0].max() < -1 + 2 / 256 and spread[:, 1].min() > 1 - 2 / 256


def test_an_image_comes_back_from_its_noise(noise: torch.Tensor) -> None:
    x = exact(noise)
    assert (there_and_back(gaussian_field, x) - x).abs().max() < 0.005


def test_guidance_leads_away_from_no_class() -> None:
    torch.manual_seed(0)
    model = FlowMatching(build_network(NetworkConfig(4, (16, 32), 1, (1,), 0.0), 2).eval(), 4, ("a", "b"))
    x = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(3))
    without, plain = model.field("")(x, 0.5), model.field("b")(x, 0.5)
    assert not torch.allclose(without, plain)
    assert torch.allclose(model.field("b", 3.0)(x, 0.5), without + 3 * (plain - without), atol=1e-5)
    assert torch.equal(model.field("", 3.0)(x, 0.5), without)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"channels": (48,)}, "two or more"),
        ({"channels": (48, 50)}, "multiples of 16"),
        ({"fold": 0}, "fold"),
        ({"attention_levels": (3,)}, "below 3"),
    ],
)
def test_a_wrong_network_is_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(StudioError, match=words):
        NetworkConfig(**settings)  # type: ignore[arg-type]
