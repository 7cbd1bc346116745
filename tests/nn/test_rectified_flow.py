"""Rectified flow: velocity and guidance by their formulas, solvers where the answer is known: on Gaussian data."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from xray_generator.nn.rectified_flow import SOLVERS, guide, interpolate, time_grid, transport, velocity_of
from xray_generator.types import no_report

MEAN, STD = -0.3, 0.4


def gaussian_field(x: Tensor, sigma: float) -> Tensor:
    """E[noise - x_0 | x] where x_0 ~ N(MEAN, STD^2) in every pixel: linear in x."""
    variance = (1 - sigma) ** 2 * STD**2 + sigma**2
    slope = (sigma - (1 - sigma) * STD**2) / variance
    return slope * (x - (1 - sigma) * MEAN) - MEAN


def exact(noise: Tensor, sigma: float = 0.0) -> Tensor:
    """Where the flow carries noise: x(sigma) = (1 - sigma) MEAN + sqrt(variance) noise."""
    return (1 - sigma) * MEAN + math.sqrt((1 - sigma) ** 2 * STD**2 + sigma**2) * noise


@pytest.fixture
def noise() -> Tensor:
    """(2, 1, 8, 8)."""
    return torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_velocity_follows_from_an_estimate_of_the_data() -> None:
    x, estimate = torch.randn(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    velocity = velocity_of(x, estimate, torch.tensor([1.0, 0.3, 0.0]))
    for i, divisor in enumerate((1.0, 0.3, 0.05)):  # never less than 0.05
        torch.testing.assert_close(velocity[i], (x[i] - estimate[i]) / divisor)


def test_the_path_is_straight_and_its_velocity_is_noise_less_data(noise: Tensor) -> None:
    x_0, sigma = exact(noise.flip(0)), torch.tensor([0.25, 0.8])
    x = interpolate(x_0, noise, sigma)
    torch.testing.assert_close(x[1], 0.2 * x_0[1] + 0.8 * noise[1])
    torch.testing.assert_close(velocity_of(x, x_0, sigma), noise - x_0)


def test_guidance_extrapolates_from_the_unconditional_velocity(noise: Tensor) -> None:
    cond, uncond = noise
    assert torch.equal(guide(cond, uncond, 0.0), uncond)
    torch.testing.assert_close(guide(cond, uncond, 1.0), cond)
    torch.testing.assert_close(guide(cond, uncond, 3.0), 3 * cond - 2 * uncond)


@pytest.mark.parametrize("num_steps", [1, 2, 7, 40])
def test_the_grid_runs_from_exactly_one_to_exactly_zero(num_steps: int) -> None:
    grid = time_grid(num_steps)
    assert grid[0] == 1 and grid[-1] == 0 and len(grid) == num_steps + 1
    assert all(a - b == pytest.approx(1 / num_steps, abs=1e-6) for a, b in pairwise(grid))


@pytest.mark.parametrize(
    ("solver", "num_steps", "error"),
    [("euler", 200, 0.02), ("heun", 40, 0.005), ("dopri5", 1, 0.002), ("dopri5", 5, 0.005)],
)
def test_every_solver_reaches_the_end_of_the_flow(solver: str, num_steps: int, error: float, noise: Tensor) -> None:
    end = SOLVERS[solver](gaussian_field, noise, time_grid(num_steps), no_report)
    assert (end - exact(noise)).abs().max() < error


@pytest.mark.parametrize("solver", ["euler", "heun"])
@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_steps_are_those_of_the_textbook(solver: str, num_steps: int, noise: Tensor) -> None:
    x, grid = noise, time_grid(num_steps)
    for sigma, following in pairwise(grid):
        first = gaussian_field(x, sigma)
        slope = first
        if solver == "heun" and following > 0:  # the last step has no second evaluation
            slope = (first + gaussian_field(x + (following - sigma) * first, following)) / 2
        x = x + (following - sigma) * slope
    torch.testing.assert_close(SOLVERS[solver](gaussian_field, noise, grid, no_report), x, atol=1e-5, rtol=0)


def test_heun_is_nearer_than_euler_at_equal_steps(noise: Tensor) -> None:
    euler, heun = (SOLVERS[name](gaussian_field, noise, time_grid(8), no_report) for name in ("euler", "heun"))
    assert (heun - exact(noise)).abs().max() < (euler - exact(noise)).abs().max() / 2


@pytest.mark.parametrize("solver", ["euler", "heun", "dopri5"])
def test_each_step_reports_its_state_and_the_estimate_of_the_data(solver: str, noise: Tensor) -> None:
    states, estimates = [noise], []

    def record(step: int, total: int, x: Tensor, x_0: Callable[[], Tensor]) -> None:
        assert (step, total) == (len(states), 4)
        states.append(x)
        estimates.append(x_0())

    end = SOLVERS[solver](gaussian_field, noise, time_grid(4), record)
    assert torch.equal(states[-1], end)
    torch.testing.assert_close(estimates[-1], end)
    if solver == "euler":  # E[x_0 | x] at the state that the step began with
        for state, estimate, sigma in zip(states, estimates, time_grid(4), strict=False):
            torch.testing.assert_close(estimate, state - sigma * gaussian_field(state, sigma))


def test_an_image_comes_back_from_its_noise(noise: Tensor) -> None:
    x, sigmas = exact(noise), time_grid(4)
    back = transport(gaussian_field, transport(gaussian_field, x, sigmas[::-1]), sigmas)
    assert (back - x).abs().max() < 0.005
