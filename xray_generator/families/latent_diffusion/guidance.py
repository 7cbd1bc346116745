"""Which way the words pull: classifier-free guidance over one prompt or several, in one pass a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from xray_generator.families.latent_diffusion.config import ScheduleConfig

if TYPE_CHECKING:
    from xray_generator.families.latent_diffusion.model import LatentDiffusion

NATIVE, ENLARGED = 0, 1  # the image's own resolution reached the training size, or it was enlarged to it


@dataclass(frozen=True, slots=True)
class Conditioning:
    """Prompts with weights that sum to 1, what guidance leads away from, and how far.

    Guidance 1 is the plain conditional model and needs no second pass.
    """

    prompts: tuple[tuple[str, float], ...]
    guidance_scale: float = 1.0
    baseline: str = ""  # no prompt; or a prompt to leave: a negative one, or the one of the image that is edited

    @property
    def texts(self) -> tuple[str, ...]:
        """The prompts of one pass, the baseline first where guidance needs it."""
        texts = tuple(text for text, _ in self.prompts)
        return texts if self.guidance_scale == 1 else (self.baseline, *texts)


def of_prompt(prompt: str, guidance_scale: float) -> Conditioning:
    """The usual case: one prompt against none."""
    return Conditioning(((prompt, 1.0),), guidance_scale)


def acts(schedule: ScheduleConfig, timestep: Tensor) -> bool:
    """Whether guidance acts at a timestep: Kynkäänniemi et al. 2024, arXiv:2404.07724."""
    low, high = schedule.guidance_interval
    return low <= float(timestep) / schedule.num_train_timesteps <= high


def guide(baseline: Tensor, prompted: Tensor, scale: float, rescale: float) -> Tensor:
    """baseline + scale * (prompted - baseline): Ho & Salimans 2022, arXiv:2207.12598, eq. 6; outputs (B, C, h, w).

    With `rescale` up to 1 each channel gets back the spread of the prompted output (Lin et al. 2024, arXiv:2305.08891,
    section 3.4).
    """
    guided = baseline + scale * (prompted - baseline)
    if not rescale:
        return guided
    spreads = prompted.std((2, 3), keepdim=True) / guided.std((2, 3), keepdim=True).clamp(min=1e-6)
    return guided * (1 + rescale * (spreads - 1))


class GuidedDenoiser:
    """What the guided model tells (v, the noise or the latents), a function of latents (1, D, h, w) and timestep.

    `guide` leads from the baseline to the weighted sum over prompts (Liu et al. 2022, arXiv:2206.01714); where it does
    not act the model is the plain conditional one, and saves the second pass. The text is encoded once.
    """

    def __init__(self, model: LatentDiffusion, conditioning: Conditioning) -> None:
        self.unet, self.scale, self.schedule = model.unet, conditioning.guidance_scale, model.schedule
        self.states, self.mask = model.embed(conditioning.texts)
        self.weights = torch.tensor([weight for _, weight in conditioning.prompts], device=self.states.device)

    def __call__(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """(1, D, h, w)."""
        count = len(self.weights)
        is_guided = len(self.states) > count and acts(self.schedule, timestep)
        output = self._run(latents, timestep, 0 if is_guided else len(self.states) - count)
        prompted = output[-count:] if count == 1 else torch.einsum("p,pchw->chw", self.weights, output[-count:])[None]
        if not is_guided:
            return prompted
        return guide(output[:1], prompted, self.scale, self.schedule.guidance_rescale)

    def _run(self, latents: Tensor, timestep: Tensor, first: int) -> Tensor:
        states, mask = self.states[first:], self.mask[first:]
        inputs, labels = latents.expand(len(states), -1, -1, -1), torch.full((len(states),), NATIVE)
        output = self.unet(
            inputs,
            timestep,
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
            class_labels=labels.to(states.device),
        )
        return cast(Tensor, output.sample.float())
