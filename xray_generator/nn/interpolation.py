"""Between two draws of noise."""

from __future__ import annotations

import torch
from torch import Tensor


def slerp(first: Tensor, second: Tensor, weight: float) -> Tensor:
    """Between two draws of unit noise, along the sphere that both lie on (Shoemake 1985): still unit noise."""
    if weight in (0, 1):
        return second if weight else first
    a, b = first.flatten(), second.flatten()
    angle = torch.acos((a @ b / (a.norm() * b.norm())).clamp(-1, 1))
    if float(angle) < 1e-3:
        return torch.lerp(first, second, weight)
    return (torch.sin((1 - weight) * angle) * first + torch.sin(weight * angle) * second) / torch.sin(angle)
