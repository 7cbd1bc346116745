"""Every sampler draws from a Gaussian mixture whose score is known in closed form."""

import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig, ScheduleConfig
from xray_generator.families.latent_diffusion.guidance import Conditioning, Sampling
from xray_generator.families.latent_diffusion.model import LatentDiffusion, make_scheduler
from xray_generator.nn.diffusion import SCHEDULERS
from xray_generator.types import StudioError, no_report

MakeModel = Callable[[LatentDiffusionConfig], LatentDiffusion]
Beta = Literal["linear", "scaled_linear", "squaredcos_cap_v2"]
Prediction = Literal["epsilon", "v_prediction", "sample"]
Draw = Callable[..., tuple[Tensor, "MixtureDenoiser"]]
WEIGHTS, MEANS = torch.tensor([0.3, 0.7]), torch.tensor([-1.5, 1.0])


def alpha_bar(kind: Beta) -> Tensor:
    """Cumulative product of 1 - beta: Nichol & Dhariwal 2021 (arXiv:2102.09672, eq. 17); Ho et al. 2020; its root."""
    if kind == "squaredcos_cap_v2":
        f = [math.cos((t / 1_000 + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(1_001)]
        betas = torch.tensor([min(1 - f[t + 1] / f[t], 0.999) for t in range(1_000)], dtype=torch.float64)
    elif kind == "linear":
        betas = torch.linspace(1e-4, 0.02, 1_000, dtype=torch.float64)
    else:
        betas = torch.linspace(1e-2, math.sqrt(0.02), 1_000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0)


class MixtureDenoiser(nn.Module):
    """The exact v, noise or mean of independent scalars x_0 ~ sum of w_i N(m_i, s^2), from E[x_0 | x_t]."""

    device = torch.device("cpu")

    def __init__(self, schedule: ScheduleConfig, std: float) -> None:
        super().__init__()
        self.alphas, self.std, self.prediction = alpha_bar(schedule.beta_schedule), std, schedule.prediction_type
        self.timesteps: list[int] = []

    def forward(self, x: Tensor, timestep: Tensor, **_: Tensor) -> SimpleNamespace:
        self.timesteps.append(int(timestep))
        a, b = self.alphas[int(timestep)].sqrt(), (1 - self.alphas[int(timestep)]).sqrt()
        x = x.double()
        variance = a**2 * self.std**2 + b**2  # of x_t within one mode
        share = torch.stack([w.log() - (x - a * m) ** 2 / (2 * variance) for w, m in zip(WEIGHTS, MEANS, strict=True)])
        means = torch.stack([m + a * self.std**2 / variance * (x - a * m) for m in MEANS])
        clean = (share.softmax(0) * means).sum(0)
        noise = (x - a * clean) / b
        output = {"v_prediction": a * noise - b * clean, "epsilon": noise, "sample": clean}[self.prediction]
        return SimpleNamespace(sample=output.float())


@pytest.fixture(scope="module")
def draw(make_model: MakeModel, tiny_config: LatentDiffusionConfig) -> Draw:
    """Sample 16,384 scalars with `LatentDiffusion.sample_latents` around the oracle."""
    model = make_model(tiny_config)

    def run(
        scheduler: str,
        steps: int,
        std: float = 0.25,
        beta: Beta = "squaredcos_cap_v2",
        prediction: Prediction = "v_prediction",
        eta: float = 0.0,
    ) -> tuple[Tensor, MixtureDenoiser]:
        schedule = ScheduleConfig(beta_schedule=beta, prediction_type=prediction)
        oracle = MixtureDenoiser(schedule, std)
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(1, 16, 32, 32, generator=generator)
        around = replace(model, unet=oracle, schedule=schedule)
        with torch.no_grad():
            sampling = Sampling(Conditioning.single("", 1.0), scheduler, steps, eta)
            samples = around.sample_latents(noise, sampling, generator, no_report)
        return samples.flatten(), oracle

    return run


def assert_is_the_mixture(samples: Tensor, std: float, tolerance: float) -> None:
    mean = float((WEIGHTS * MEANS).sum())
    total = math.sqrt(float((WEIGHTS * MEANS**2).sum()) - mean**2 + std**2)
    assert samples.mean() == pytest.approx(mean, abs=tolerance)
    assert samples.std() == pytest.approx(total, abs=tolerance)
    left = samples < -0.25
    assert left.float().mean() == pytest.approx(0.3, abs=tolerance)
    assert samples[left].std() == pytest.approx(std, abs=tolerance)
    assert samples[~left].std() == pytest.approx(std, abs=tolerance)


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon", "sample"])
@pytest.mark.parametrize(
    ("scheduler", "steps", "tolerance"),
    [
        ("ddim", 20, 0.04),
        ("ddim", 50, 0.02),
        ("ddim", 60, 0.02),
        ("ddim", 150, 0.02),
        ("dpm++", 20, 0.02),
        ("dpm++", 30, 0.02),
        ("dpm++", 50, 0.01),
        ("unipc", 20, 0.02),
        ("unipc", 50, 0.01),
        ("ddpm", 150, 0.025),
    ],
)
def test_recovers_mean_spread_and_weights(
    draw: Draw, scheduler: str, steps: int, tolerance: float, prediction: Prediction
) -> None:
    samples, _ = draw(scheduler, steps, prediction=prediction)
    assert_is_the_mixture(samples, 0.25, tolerance)


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
@pytest.mark.parametrize(("eta", "steps", "tolerance"), [(0.5, 50, 0.025), (1.0, 150, 0.025)])
def test_ddim_recovers_them_whatever_noise_it_draws_anew(
    draw: Draw, eta: float, steps: int, tolerance: float, prediction: Prediction
) -> None:
    samples, oracle = draw("ddim", steps, prediction=prediction, eta=eta)
    assert_is_the_mixture(samples, 0.25, tolerance)
    assert oracle.timesteps == draw("ddim", steps)[1].timesteps


def test_eta_joins_the_ends_and_changes_the_image(draw: Draw) -> None:
    plain, barely, half = (draw("ddim", 20, eta=eta)[0] for eta in (0.0, 1e-6, 0.5))
    assert (plain - barely).abs().max() < 2e-3, "DDIM of two implementations: diffusers' and ours"
    assert (plain - half).abs().mean() > 0.05


@pytest.mark.parametrize("beta", ["linear", "scaled_linear"])
@pytest.mark.parametrize("scheduler", ["ddim", "dpm++", "unipc", "ddpm"])
def test_every_schedule_is_the_same_mixture(draw: Draw, scheduler: str, beta: Beta) -> None:
    samples, _ = draw(scheduler, 150, beta=beta)
    assert_is_the_mixture(samples, 0.25, 0.03)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("steps", [20, 60, 150])
def test_last_step_reaches_the_data(draw: Draw, scheduler: str, steps: int) -> None:
    samples, oracle = draw(scheduler, steps, std=1e-4)
    assert (samples[:, None] - MEANS).abs().amin(1).quantile(0.99) < 1e-3
    assert len(oracle.timesteps) == steps
    assert oracle.timesteps[0] == 999
    assert oracle.timesteps == sorted(set(oracle.timesteps), reverse=True)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("steps", [1, 2, 5, 1_000])
def test_few_and_all_steps_stay_within_the_data(draw: Draw, scheduler: str, steps: int) -> None:
    samples, oracle = draw(scheduler, steps)
    assert torch.isfinite(samples).all()
    assert samples.abs().max() < 4
    assert len(set(oracle.timesteps)) == len(oracle.timesteps) == steps


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("beta", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_noise_levels_are_the_papers_and_sampling_starts_at_unscaled_unit_noise(name: str, beta: Beta) -> None:
    scheduler: Any = make_scheduler(name, ScheduleConfig(beta_schedule=beta), 5)
    x = torch.randn(4)
    assert scheduler.init_noise_sigma == 1
    assert torch.equal(scheduler.scale_model_input(x, scheduler.timesteps[0]), x)
    assert torch.allclose(scheduler.alphas_cumprod.double(), alpha_bar(beta), rtol=1e-3, atol=1e-8)


def test_start_is_unit_noise() -> None:
    assert alpha_bar("squaredcos_cap_v2")[-1] < 1e-8  # the shipped schedule: no signal is left in x_T


@pytest.mark.parametrize("steps", [10, 20, 50])
def test_ddim_is_the_textbook_update(draw: Draw, steps: int) -> None:
    """Song et al. 2021 (arXiv:2010.02502), eq. 12 with sigma 0, written out."""
    samples, oracle = draw("ddim", steps)
    x = torch.randn(1, 16, 32, 32, generator=torch.Generator().manual_seed(0))
    alphas = [*(oracle.alphas[t] for t in oracle.timesteps), torch.tensor(1.0, dtype=torch.float64)]
    for t, alpha, following in zip(list(oracle.timesteps), alphas, alphas[1:], strict=False):
        velocity = oracle(x, torch.tensor(t)).sample
        clean = alpha.sqrt() * x - (1 - alpha).sqrt() * velocity
        noise = (1 - alpha).sqrt() * x + alpha.sqrt() * velocity
        x = (following.sqrt() * clean + (1 - following).sqrt() * noise).float()
    assert (x.flatten() - samples).abs().quantile(0.999) < 1e-3


def test_unknown_scheduler_and_too_many_steps_are_refused() -> None:
    with pytest.raises(StudioError, match=r"Allowed: ddim, ddpm, dpm\+\+, unipc"):
        make_scheduler("euler", ScheduleConfig())
    with pytest.raises(StudioError, match="At most 1000 steps"):
        make_scheduler("ddim", ScheduleConfig(), 1_001)
