"""The straight path between data and noise, and its solvers where the answer is known: on Gaussian data."""

from itertools import pairwise

import pytest
import torch

from tests.nn.gaussian_flow import exact, gaussian_field
from xray_generator.nn.rectified_flow import SOLVERS, guide, interpolate, time_grid, transport, velocity_of
from xray_generator.types import no_report


@pytest.fixture
def noise() -> torch.Tensor:
    """(2, 1, 8, 8)."""
    return torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_velocity_follows_from_an_estimate_of_the_data() -> None:
    x, estimate = torch.randn(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    velocity = velocity_of(x, estimate, torch.tensor([1.0, 0.3, 0.0]))
    for i, divisor in enumerate((1.0, 0.3, 0.05)):  # never less than 0.05
        torch.testing.assert_close(velocity[i], (x[i] - estimate[i]) / divisor)


def test_interpolation_is_a_straight_line_from_data_to_noise() -> None:
    x_0, noise = torch.randn(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    mixed = interpolate(x_0, noise, torch.tensor([0.0, 0.25, 1.0]))
    torch.testing.assert_close(mixed, torch.stack([x_0[0], 0.75 * x_0[1] + 0.25 * noise[1], noise[2]]))


def test_guidance_scale_0_is_uncond_1_is_cond_and_more_leads_on() -> None:
    cond, uncond = torch.tensor([3.0]), torch.tensor([1.0])
    assert [float(guide(cond, uncond, scale)) for scale in (0.0, 1.0, 2.5)] == [1.0, 3.0, 6.0]


@pytest.mark.parametrize("num_steps", [1, 2, 7, 40])
def test_the_grid_runs_from_exactly_one_to_exactly_zero(num_steps: int) -> None:
    grid = time_grid(num_steps)
    assert grid[0] == 1 and grid[-1] == 0 and len(grid) == num_steps + 1
    assert all(a - b == pytest.approx(1 / num_steps, abs=1e-6) for a, b in pairwise(grid))


@pytest.mark.parametrize(
    ("solver", "num_steps", "error"),
    [("euler", 200, 0.02), ("heun", 40, 0.005), ("dopri5", 1, 0.002), ("dopri5", 5, 0.005)],
)
def test_every_solver_reaches_the_data(solver: str, num_steps: int, error: float, noise: torch.Tensor) -> None:
    x = SOLVERS[solver](gaussian_field, noise, time_grid(num_steps), no_report)
    assert (x - exact(noise)).abs().max() < error


def test_heun_is_nearer_than_euler_at_equal_steps(noise: torch.Tensor) -> None:
    euler, heun = (
        float((SOLVERS[name](gaussian_field, noise, time_grid(8), no_report) - exact(noise)).abs().max())
        for name in ("euler", "heun")
    )
    assert heun < euler / 2


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
    assert torch.allclose(SOLVERS[solver](gaussian_field, noise, grid, no_report), x, atol=1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
def test_each_step_reports_its_state_and_the_estimate_of_the_data(solver: str, noise: torch.Tensor) -> None:
    states, estimates = [], []

    def record(step: int, total: int, x: torch.Tensor, x_0: object) -> None:
        assert (step, total) == (len(states) + 1, 4)
        states.append(x)
        estimates.append(x_0())  # type: ignore[operator]

    end = SOLVERS[solver](gaussian_field, noise, time_grid(4), record)
    assert len(states) == 4 and torch.equal(states[-1], end)
    assert torch.allclose(estimates[-1], end, atol=1e-6)
    errors = [float((estimate - exact(noise)).abs().mean()) for estimate in estimates]
    assert errors[0] > errors[-1] and errors[0] < float((states[0] - exact(noise)).abs().mean())


def test_transport_carries_there_and_back(noise: torch.Tensor) -> None:
    data = transport(gaussian_field, noise, time_grid(2))
    assert (data - exact(noise)).abs().max() < 0.005
    assert (transport(gaussian_field, data, time_grid(2)[::-1]) - noise).abs().max() < 0.005
