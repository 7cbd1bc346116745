"""The networks of a cascade: a class-conditional diffusion model, and flows that enlarge what it draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from xray_generator.families.cascade.config import BaseConfig, CascadeConfig
from xray_generator.nn.class_unet import build_class_unet
from xray_generator.nn.diffusion import Denoiser
from xray_generator.nn.rectified_flow import guide
from xray_generator.nn.residual_flow import ResidualFlow
from xray_generator.nn.swin import SwinBottleneck

BASE = "base"


class SwinMidBlock(nn.Module):
    """The bottleneck of a diffusers UNet with Swin layers in place of its self-attention."""

    def __init__(self, block: Any, channels: int, window: int) -> None:  # noqa: ANN401 - mypy skips diffusers
        super().__init__()
        self.resnets, self.swin = block.resnets, SwinBottleneck(channels, window)

    def forward(self, hidden_states: Tensor, temb: Tensor | None = None) -> Tensor:
        """(B, C, H, W), as `UNetMidBlock2D`."""
        first, second = self.resnets
        return cast(Tensor, second(self.swin(first(hidden_states, temb)), temb))


def build_base(config: BaseConfig, num_labels: int) -> Any:  # noqa: ANN401 - mypy skips diffusers
    """An untrained UNet of noisy images, folded."""
    unet = build_class_unet(config.network, num_labels)
    if config.window:
        unet.mid_block = SwinMidBlock(unet.mid_block, config.network.channels[-1], config.window)
    return unet


@dataclass(frozen=True, slots=True)
class Base:
    """The diffusion model of a cascade."""

    network: Any
    config: BaseConfig
    labels: tuple[str, ...]

    @classmethod
    def build(cls, config: CascadeConfig) -> Base:
        """Untrained."""
        return cls(build_base(config.base, len(config.labels)), config.base, config.labels)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return cast(torch.device, next(self.network.parameters()).device)

    def class_index(self, label: str) -> int:
        """The place of a class among the embeddings; of any other word, that of no class."""
        return self.labels.index(label) if label in self.labels else len(self.labels)

    def predict(self, x_t: Tensor, timesteps: Tensor, classes: Tensor) -> Tensor:
        """What `prediction_type` says (B, 1, H, W) of x_t (B, 1, H, W) at timesteps (B,) for classes (B,)."""
        folded = F.pixel_unshuffle(x_t, self.config.network.fold).contiguous(memory_format=torch.channels_last)
        output = self.network(folded, timesteps, class_labels=classes).sample
        return F.pixel_shuffle(output, self.config.network.fold).float()

    def denoiser(self, label: str, guidance_scale: float) -> Denoiser:
        """The prediction for a class, guided away from that without one; any other word is no class."""
        index, none = self.class_index(label), len(self.labels)
        indices = [none, index] if index != none and guidance_scale != 1 else [index]

        def predict(x_t: Tensor, timestep: Tensor) -> Tensor:
            classes = torch.tensor(indices, device=x_t.device).repeat_interleave(len(x_t))
            found = self.predict(
                x_t.repeat(len(indices), 1, 1, 1), timestep.to(x_t.device).expand(len(classes)), classes
            )
            if len(indices) == 1:
                return found
            uncond, cond = found.chunk(2)  # in one pass: half the calls
            return guide(cond, uncond, guidance_scale)

        return predict


@dataclass(frozen=True, slots=True)
class Cascade:
    """The base model, and the flows that enlarge, by the names of their stages."""

    base: Base
    flows: Mapping[str, ResidualFlow]

    def networks(self) -> dict[str, nn.Module]:
        """The networks by name."""
        return {BASE: self.base.network, **{name: flow.network for name, flow in self.flows.items()}}
