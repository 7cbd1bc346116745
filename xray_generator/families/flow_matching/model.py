"""The network of a continuous normalizing flow from noise to images; the flow itself is `nn.rectified_flow`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from xray_generator.families.flow_matching.config import FlowMatchingConfig
from xray_generator.nn.class_unet import build_class_unet
from xray_generator.nn.rectified_flow import Field, guide, velocity_of

TIME_SCALE = 1_000  # of sigma in the network's time embedding, as in diffusers


@dataclass(frozen=True, slots=True)
class FlowMatching:
    """The network and what its inputs mean."""

    network: Any
    fold: int
    labels: tuple[str, ...]

    @classmethod
    def build(cls, config: FlowMatchingConfig) -> FlowMatching:
        """Untrained."""
        return cls(build_class_unet(config.network, len(config.labels)), config.network.fold, config.labels)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return cast(torch.device, next(self.network.parameters()).device)

    def class_index(self, label: str) -> int:
        """The place of a class among the embeddings; of any other word, that of no class."""
        return self.labels.index(label) if label in self.labels else len(self.labels)

    def velocity(self, x: Tensor, sigma: Tensor, classes: Tensor) -> Tensor:
        """(B, 1, H, W) of x (B, 1, H, W), sigma (B,) in [0, 1] and classes (B,), indices of `class_index`.

        The network estimates x_0 on patches folded into channels; the velocity follows, see `velocity_of`.
        """
        folded = F.pixel_unshuffle(x, self.fold).contiguous(memory_format=torch.channels_last)
        output = self.network(folded, sigma * TIME_SCALE, class_labels=classes).sample
        return velocity_of(x, F.pixel_shuffle(output, self.fold).float(), sigma)

    def field(self, label: str, guidance_scale: float = 1.0) -> Field:
        """The velocity given a class, guided away from that without one; any other word is no class."""
        index, none = self.class_index(label), len(self.labels)
        is_guided = index != none and guidance_scale != 1

        def velocity(x: Tensor, sigma: float) -> Tensor:
            indices = [none, index] if is_guided else [index]
            classes = torch.tensor(indices, device=x.device).repeat_interleave(len(x))
            x = x.repeat(len(indices), 1, 1, 1)
            found = self.velocity(x, x.new_full((len(x),), sigma), classes)
            if not is_guided:
                return found
            uncond, cond = found.chunk(2)  # in one pass: half the calls
            return guide(cond, uncond, guidance_scale)

        return velocity
