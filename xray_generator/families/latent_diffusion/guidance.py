"""Which way the words pull: classifier-free guidance over one prompt or several, in one pass a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

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


class GuidedDenoiser:
    """v or eps of the guided model, a function of latents (1, 4 C, h, w) and timestep.

    out = baseline + guidance * (sum of weight * prompt - baseline): Ho & Salimans 2022, arXiv:2207.12598, eq. 6; the
    sum over prompts as in Liu et al. 2022, arXiv:2206.01714. The text is encoded once. Guidance may be kept to an
    interval of noise levels (Kynkaanniemi et al. 2024, arXiv:2404.07724), outside which the model is the plain
    conditional one, and its output rescaled (Lin et al. 2024, arXiv:2305.08891, section 3.4), here channel by channel.
    """

    def __init__(self, model: LatentDiffusion, conditioning: Conditioning) -> None:
        self.unet, self.scale, schedule = model.unet, conditioning.guidance_scale, model.schedule
        self.states, self.mask = model.embed(conditioning.texts)
        self.weights = torch.tensor([weight for _, weight in conditioning.prompts], device=self.states.device)
        self.interval = [share * schedule.num_train_timesteps for share in schedule.guidance_interval]
        self.rescale = schedule.guidance_rescale

    def __call__(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """(1, 4 C, h, w)."""
        count, (low, high) = len(self.weights), self.interval
        is_guided = len(self.states) > count and low <= float(timestep) <= high
        output = self._run(latents, timestep, 0 if is_guided else len(self.states) - count)
        prompted = output[-count:] if count == 1 else torch.einsum("p,pchw->chw", self.weights, output[-count:])[None]
        if not is_guided:
            return prompted
        guided = output[:1] + self.scale * (prompted - output[:1])
        return self._rescaled(guided, prompted) if self.rescale else guided

    def _run(self, latents: Tensor, timestep: Tensor, first: int) -> Tensor:
        states, mask = self.states[first:], self.mask[first:]
        inputs, labels = latents.expand(len(states), -1, -1, -1), torch.full((len(states),), NATIVE)
        output = self.unet(
            inputs, timestep, encoder_hidden_states=states, encoder_attention_mask=mask,
            class_labels=labels.to(states.device),
        )  # fmt: skip
        return cast(Tensor, output.sample.float())

    def _rescaled(self, guided: Tensor, prompted: Tensor) -> Tensor:
        spreads = prompted.std((2, 3), keepdim=True) / guided.std((2, 3), keepdim=True).clamp(min=1e-6)
        return guided * (1 + self.rescale * (spreads - 1))
