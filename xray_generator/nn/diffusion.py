"""Diffusion between noise and image: schedulers, sampling from any step on, and deterministic inversion.

Notation: x_t = alpha_t x_0 + sigma_t epsilon with alpha_t^2 + sigma_t^2 = 1, t falling from noise to image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol, cast

import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler
from diffusers.schedulers.scheduling_utils import SchedulerOutput
from torch import Tensor

from xray_generator.types import StudioError, quote

SCHEDULERS: Mapping[str, tuple[type[Any], dict[str, Any]]] = MappingProxyType(
    {
        # DDIM is DPM-Solver++ of order 1 (Lu et al. 2022, arXiv:2211.01095, eq. 21). diffusers' DDIMScheduler steps to
        # t - 1000 // n, which is not its own next timestep unless n divides 1000: at 60 or 150 steps it never reaches
        # x_0.
        "ddim": (DPMSolverMultistepScheduler, {"timestep_spacing": "trailing", "solver_order": 1}),
        "ddpm": (DDPMScheduler, {"timestep_spacing": "trailing", "clip_sample": False}),
        "dpm++": (DPMSolverMultistepScheduler, {"timestep_spacing": "trailing"}),
        "unipc": (UniPCMultistepScheduler, {"timestep_spacing": "trailing"}),
    }
)
NOISE_FIELDS = (  # of a diffusers scheduler: how much noise there is at each timestep, and what is predicted
    "num_train_timesteps",
    "beta_schedule",
    "beta_start",
    "beta_end",
    "trained_betas",
    "rescale_betas_zero_snr",
    "prediction_type",
)
FIXED_POINT_ITERATIONS = 3
INVERTIBLE = "ddim"  # the scheduler whose steps `invert` runs backwards
Denoiser = Callable[[Tensor, Tensor], Tensor]  # x_t, timestep -> prediction: v, epsilon or x_0
StepCallback = Callable[[int, int, Tensor], None]  # step (from 1), total, estimate of x_0


class Scheduler(Protocol):
    """What is used of a variance-preserving diffusers scheduler, which starts at unit noise; it holds one sampling."""

    config: Any  # with prediction_type
    timesteps: Tensor  # in the order of sampling, once `set_timesteps` was called
    alphas_cumprod: Tensor  # alpha_t^2 at each timestep of training
    set_timesteps: Callable[[int], None]
    add_noise: Callable[[Tensor, Tensor, Tensor], Tensor]  # x_0, noise, timesteps -> x_t
    step: Callable[..., SchedulerOutput]  # prediction, timestep, x_t -> prev_sample


class Schedule(Protocol):
    """How much noise an image holds at each timestep, and what the network predicts of it."""

    @property
    def num_train_timesteps(self) -> int:
        """From image to noise."""
        ...

    @property
    def beta_schedule(self) -> str:
        """As diffusers calls it: "linear", "squaredcos_cap_v2"."""
        ...

    @property
    def prediction_type(self) -> str:
        """As diffusers calls it: "epsilon", "v_prediction", "sample"."""
        ...


def make_scheduler(name: str, schedule: Schedule, num_inference_steps: int | None = None) -> Scheduler:
    """`build_scheduler` for a schedule of ours."""
    fields = {
        "num_train_timesteps": schedule.num_train_timesteps,
        "beta_schedule": schedule.beta_schedule,
        "beta_start": 1e-4,
        "beta_end": 0.02,
        "prediction_type": schedule.prediction_type,
    }
    return build_scheduler(name, fields, num_inference_steps)


def build_scheduler(name: str, fields: Mapping[str, Any], num_inference_steps: int | None = None) -> Scheduler:
    """A new scheduler, its timesteps set where a number of steps is given; one per sampling, whose state it holds.

    Args:
        name: one of SCHEDULERS.
        fields: those of NOISE_FIELDS that differ from diffusers' own.
        num_inference_steps: how often it calls the network.

    Raises:
        StudioError: an unknown name, or more steps than the schedule has.
    """
    if name not in SCHEDULERS:
        raise StudioError(f"Unknown scheduler {quote(name)}. Allowed: {', '.join(SCHEDULERS)}.")
    kind, options = SCHEDULERS[name]
    scheduler = kind(**fields, **options)
    if num_inference_steps is not None:
        if num_inference_steps > (most := scheduler.config.num_train_timesteps):
            raise StudioError(f"At most {most} steps are allowed, not {num_inference_steps}.")
        scheduler.set_timesteps(num_inference_steps)
    return cast(Scheduler, scheduler)


def noisy_and_target(scheduler: Any, x_0: Tensor, noise: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    """x_t (B, ...) at timesteps (B,) of a "ddpm", and what the network should predict of it."""
    velocity: Tensor = scheduler.get_velocity(x_0, noise, timesteps)
    target = {"epsilon": noise, "sample": x_0}.get(scheduler.config.prediction_type, velocity)
    return scheduler.add_noise(x_0, noise, timesteps), target


def first_step(num_inference_steps: int, strength: float) -> int:
    """The step at which an edit of this strength begins: 0 for strength 1, the last one at least."""
    return min(num_inference_steps - 1, round((1 - strength) * num_inference_steps))


def denoise(
    scheduler: Scheduler,
    denoiser: Denoiser,
    x_t: Tensor,
    generator: torch.Generator,
    on_step: StepCallback,
    *,
    begin: int = 0,
    end: int | None = None,
    eta: float = 0.0,
) -> Tensor:
    """x after steps `begin` to `end` (default: all) of a scheduler whose timesteps are set.

    `x_t` must hold as much noise as step `begin` expects. Any `eta` above 0 makes it steps of `ddim_step`.
    """
    options = {} if isinstance(scheduler, UniPCMultistepScheduler) else {"generator": generator}
    timesteps = scheduler.timesteps[begin:end]
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    for step, timestep in enumerate(timesteps, start=1):
        prediction = denoiser(x_t, timestep)
        x_0, _ = predict_x0_and_noise(scheduler, prediction, x_t, timestep)
        if eta:
            following = next(iter(scheduler.timesteps[begin + step :]), None)
            x_t = ddim_step(scheduler, prediction, x_t, timestep, following, eta, generator)
        else:
            x_t = scheduler.step(prediction, timestep, x_t, **options).prev_sample
        on_step(step, len(timesteps), x_0)
    return x_t


def ddim_step(
    scheduler: Scheduler,
    prediction: Tensor,
    x_t: Tensor,
    timestep: Tensor,
    following: Tensor | None,
    eta: float,
    generator: torch.Generator,
) -> Tensor:
    """A step of DDIM to the following timestep (None: the image) that draws a share of the noise anew.

    `eta` 0 draws none, and 1 as much as DDPM (Song et al. 2021, arXiv:2010.02502, eq. 12 and 16).
    """
    x_0, noise = predict_x0_and_noise(scheduler, prediction, x_t, timestep)
    (alpha_t, sigma_t), (alpha_s, sigma_s) = (alpha_sigma(scheduler, t, x_t) for t in (timestep, following))
    drawn = eta * sigma_s / sigma_t * (1 - (alpha_t / alpha_s) ** 2).clamp(min=0).sqrt()
    fresh = torch.randn(x_t.shape, generator=generator).to(x_t)
    return alpha_s * x_0 + (sigma_s**2 - drawn**2).clamp(min=0).sqrt() * noise + drawn * fresh


def invert(scheduler: Scheduler, denoiser: Denoiser, x_0: Tensor, begin: int) -> Tensor:
    """The x_t at step `begin` from which DDIM leads back to `x_0`.

    DDIM's steps run backwards (Song et al. 2021, arXiv:2010.02502, section 4.3). Each is solved for its start by
    fixed-point iteration (Pan et al. 2023, arXiv:2309.04907): the prediction at its end, in place of that at its start,
    is not accurate enough.
    """
    ends: list[Tensor | None] = [*scheduler.timesteps[begin + 1 :], None]
    x_end = x_0
    for timestep, end in zip(reversed(scheduler.timesteps[begin:]), reversed(ends), strict=True):
        alpha_t, sigma_t = alpha_sigma(scheduler, timestep, x_0)
        alpha_end, sigma_end = alpha_sigma(scheduler, end, x_0)
        x_t = x_end
        for _ in range(FIXED_POINT_ITERATIONS):
            _, noise = predict_x0_and_noise(scheduler, denoiser(x_t, timestep), x_t, timestep)
            x_t = alpha_t / alpha_end * (x_end - sigma_end * noise) + sigma_t * noise
        x_end = x_t
    return x_end


def predict_x0_and_noise(
    scheduler: Scheduler, prediction: Tensor, x_t: Tensor, timestep: Tensor
) -> tuple[Tensor, Tensor]:
    """(x_0, epsilon) that a prediction of v, x_0 or epsilon implies."""
    alpha_t, sigma_t = alpha_sigma(scheduler, timestep, x_t)
    if scheduler.config.prediction_type == "v_prediction":
        return alpha_t * x_t - sigma_t * prediction, sigma_t * x_t + alpha_t * prediction
    if scheduler.config.prediction_type == "sample":
        return prediction, (x_t - alpha_t * prediction) / sigma_t.clamp(min=1e-8)
    return (x_t - sigma_t * prediction) / alpha_t, prediction


def alpha_sigma(scheduler: Scheduler, timestep: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor]:
    """alpha_t = sqrt(alpha_bar_t) and sigma_t = sqrt(1 - alpha_bar_t), scalars; for None, the image itself, 1 and 0."""
    alpha_bar = like.new_ones(()) if timestep is None else scheduler.alphas_cumprod[int(timestep)].to(like)
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
