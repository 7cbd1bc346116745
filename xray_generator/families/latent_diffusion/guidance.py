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
    sum over prompts as in Liu et al. 2022, arXiv:2206.01714. The text is encoded once.
    """

    def __init__(self, model: LatentDiffusion, conditioning: Conditioning) -> None:
        self.unet, self.conditioning = model.unet, conditioning
        self.states, self.mask = model.embed(conditioning.texts)
        self.labels = torch.full((len(self.states),), NATIVE, device=self.states.device)
        self.weights = torch.tensor([weight for _, weight in conditioning.prompts], device=self.states.device)

    def __call__(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """(1, 4 C, h, w)."""
        output = self.unet(
            latents.expand(len(self.states), -1, -1, -1), timestep, encoder_hidden_states=self.states,
            encoder_attention_mask=self.mask, class_labels=self.labels,
        ).sample.float()  # fmt: skip
        count = len(self.weights)
        prompted = output[-count:] if count == 1 else torch.einsum("p,pchw->chw", self.weights, output[-count:])[None]
        if len(output) == count:
            return cast(Tensor, prompted)
        return cast(Tensor, output[:1] + self.conditioning.guidance_scale * (prompted - output[:1]))
