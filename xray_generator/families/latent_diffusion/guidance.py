"""Classifier-free guidance over one prompt or several, in one pass of the denoiser a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from xray_generator.families.latent_diffusion.config import ScheduleConfig
from xray_generator.nn.rectified_flow import guide


class Condition(NamedTuple):
    """What the denoiser is given of B prompts."""

    states: Tensor  # (B, L, E) of the words
    mask: Tensor  # (B, L), 0 where there is no word
    facts: Tensor  # (B, NUM_FACTS), see `facts.encode_facts`

    def take(self, places: slice) -> Condition:
        """Those of some prompts."""
        return Condition(*(value[places] for value in self))


@dataclass(frozen=True, slots=True)
class Conditioning:
    """Prompts with weights that sum to 1, the prompt that guidance leads away from, and the guidance scale.

    Scale 1 is the plain conditional model and needs no second pass.
    """

    prompts: tuple[tuple[str, float], ...]
    guidance_scale: float = 1.0
    negative_prompt: str = ""  # empty: unconditional

    @classmethod
    def single(cls, prompt: str, guidance_scale: float) -> Conditioning:
        """One prompt, guided away from none."""
        return cls(((prompt, 1.0),), guidance_scale)

    @classmethod
    def interpolate(cls, first: str, second: str, weight: float, guidance_scale: float) -> Conditioning:
        """From the first prompt (weight 0) to the second (weight 1); a prompt of no weight is left out."""
        parts = ((first, 1 - weight), (second, weight)) if first != second else ((first, 1.0),)
        return cls(tuple((prompt, share) for prompt, share in parts if share > 0), guidance_scale)

    @property
    def texts(self) -> tuple[str, ...]:
        """The prompts of one pass, the negative one first where guidance needs it."""
        texts = tuple(text for text, _ in self.prompts)
        return texts if self.guidance_scale == 1 else (self.negative_prompt, *texts)


class Sampling(NamedTuple):
    """What is sampled, and how."""

    conditioning: Conditioning
    scheduler: str
    num_inference_steps: int
    eta: float = 0.0  # of DDIM


def is_guided_at(schedule: ScheduleConfig, timestep: Tensor) -> bool:
    """Whether a timestep lies in the guidance interval: Kynkäänniemi et al. 2024, arXiv:2404.07724."""
    low, high = schedule.guidance_interval
    return low <= float(timestep) / schedule.num_train_timesteps <= high


def guide_rescaled(cond: Tensor, uncond: Tensor, guidance_scale: float, rescale: float) -> Tensor:
    """`rectified_flow.guide` on predictions (B, C, h, w), then a share `rescale` of the way to cond's deviation.

    The standard deviation is that of each channel (Lin et al. 2024, arXiv:2305.08891, section 3.4).
    """
    guided = guide(cond, uncond, guidance_scale)
    if not rescale:
        return guided
    ratio = cond.std((2, 3), keepdim=True) / guided.std((2, 3), keepdim=True).clamp(min=1e-6)
    return guided * (1 + rescale * (ratio - 1))


def run_unet(unet: nn.Module, x_t: Tensor, timestep: Tensor, condition: Condition) -> Tensor:
    """The prediction (B, D, h, w) in float32."""
    states, mask, facts = condition
    output = unet(x_t, timestep, encoder_hidden_states=states, encoder_attention_mask=mask, class_labels=facts)
    return cast(Tensor, output.sample.float())


class GuidedDenoiser:
    """The guided prediction (v, epsilon or x_0), a function of x_t (1, D, h, w) and the timestep.

    Guidance leads from the negative prompt to the weighted sum over prompts (Liu et al. 2022, arXiv:2206.01714).
    Outside its interval the model is the plain conditional one, in one pass less. The text is encoded once.
    """

    def __init__(
        self,
        unet: nn.Module,
        schedule: ScheduleConfig,
        embed: Callable[[Sequence[str]], Condition],
        conditioning: Conditioning,
    ) -> None:
        self.unet, self.schedule, self.guidance_scale = unet, schedule, conditioning.guidance_scale
        self.condition = embed(conditioning.texts)
        weights = [weight for _, weight in conditioning.prompts]
        self.weights = torch.tensor(weights, device=self.condition.states.device)

    def __call__(self, x_t: Tensor, timestep: Tensor) -> Tensor:
        """(1, D, h, w)."""
        count, total = len(self.weights), len(self.condition.states)
        is_guided = total > count and is_guided_at(self.schedule, timestep)
        condition = self.condition.take(slice(0 if is_guided else total - count, None))
        output = run_unet(self.unet, x_t.expand(len(condition.states), -1, -1, -1), timestep, condition)
        cond = output[-count:] if count == 1 else torch.einsum("p,pchw->chw", self.weights, output[-count:])[None]
        if not is_guided:
            return cond
        return guide_rescaled(cond, output[:1], self.guidance_scale, self.schedule.guidance_rescale)
