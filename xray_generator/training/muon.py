"""Muon: momentum whose matrices are orthogonalized before they are applied (Jordan et al. 2024).

On a small U-Net it reaches the loss of a tuned AdamW in fewer steps (arXiv:2510.19376). `torch.optim.Muon` takes two
dimensions only and computes in bfloat16, which most CPUs emulate; here a kernel counts as a matrix of its output
channels, and the number format is that of the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration
ITERATIONS, MOMENTUM = 5, 0.95
LONG = 2  # times as many columns as rows
FIRST_AND_LAST = ("embed", "conv_in", "conv_out")  # names of layers left to AdamW: no maps between features


class Muon(torch.optim.AdamW):
    """AdamW whose groups with `matrices` set are updated by Muon."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of all groups."""
        groups = self.param_groups
        self.param_groups = [group for group in groups if not group["matrices"]]
        try:
            loss: float | None = super().step(closure)
        finally:
            self.param_groups = groups
        for group in groups:
            if group["matrices"]:
                self._update(group)
        return loss

    def _update(self, group: dict[str, Any]) -> None:
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if not state:
                state |= {"step": torch.zeros(()), "momentum": torch.zeros_like(parameter)}  # AdamW looks for a step
            momentum = state["momentum"]
            momentum.lerp_(parameter.grad, 1 - MOMENTUM)
            update = orthogonalize(parameter.grad.lerp(momentum, MOMENTUM).flatten(1))
            scale = max(1.0, update.shape[0] / update.shape[1]) ** 0.5
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(update.view(parameter.shape), alpha=-group["lr"] * scale)


def orthogonalize(matrix: Tensor) -> Tensor:
    """The nearest matrix (M, N) whose singular values are about 1, by five Newton-Schulz iterations.

    Each iteration multiplies X by p = a + b X X' + c (X X')^2. For a long matrix, as kernels are, the product of these
    small factors is built first, and X X' follows as p (X X') p: two products with X in place of ten.
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = (matrix.T if is_tall else matrix) / matrix.norm().clamp(min=1e-7)
    if x.shape[1] < LONG * x.shape[0]:
        for _ in range(ITERATIONS):
            x = _factor(x @ x.T) @ x
    else:
        gram, product = x @ x.T, torch.eye(len(x), dtype=x.dtype, device=x.device)
        for _ in range(ITERATIONS):
            factor = _factor(gram)
            gram, product = factor @ gram @ factor, factor @ product
        x = product @ x
    return x.T if is_tall else x


def _factor(gram: Tensor) -> Tensor:
    a, b, c = COEFFICIENTS
    factor: Tensor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal().add_(a)
    return factor


def parameter_groups(module: nn.Module, rate: float) -> list[dict[str, Any]]:
    """Kernels and matrices between hidden layers, with their learning rate, and all else, which AdamW trains."""
    trained = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
    is_matrix = [p.ndim >= 2 and not any(part in name for part in FIRST_AND_LAST) for name, p in trained]
    matrices, others = ([p for (_, p), is_one in zip(trained, is_matrix, strict=True) if is_one == of] for of in (1, 0))
    return [{"params": others, "matrices": False}, {"params": matrices, "matrices": True, "lr": rate}]
