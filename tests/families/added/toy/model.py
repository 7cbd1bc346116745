"""The model and its loss: a rectified flow from noise to images. The formulas; nothing here is the studio's."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from xray_generator.nn.rectified_flow import interpolate


class ToyFlow(nn.Module):
    """The velocity at noisy images (B, 1, H, W) and noise levels sigma (B,)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers = nn.Conv2d(2, channels, 3, padding=1), nn.SiLU(), nn.Conv2d(channels, 1, 3, padding=1)
        self.network = nn.Sequential(*layers)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.network(torch.cat([x, sigma[:, None, None, None].expand_as(x)], dim=1))

    def field(self, x: Tensor, sigma: float) -> Tensor:
        return self(x, x.new_full((len(x),), sigma))


class ToyLoss(nn.Module):
    """Mean squared error of the velocity."""

    def __init__(self, flow: ToyFlow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        images = batch["images"]
        noise, sigma = torch.randn(images.shape, generator=generator), torch.rand(len(images), generator=generator)
        velocity = self.flow(interpolate(images, noise, sigma), sigma)
        return {"loss": (velocity - (noise - images)).square().mean()}
