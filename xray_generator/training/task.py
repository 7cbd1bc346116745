"""What one training run optimizes; the loop owns everything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from xray_generator.types import StudioError


@dataclass(frozen=True, slots=True)
class Draw:
    """One item of an epoch's order: which row, and the seed of its augmentation."""

    index: int
    seed: int


class DrawDataset(Protocol):
    """A map-style dataset whose every item is a function of (row, seed)."""

    def __len__(self) -> int: ...

    def __getitem__(self, draw: Draw) -> Mapping[str, Tensor]: ...


class Task(Protocol):
    """One stage of training."""

    @property
    def module(self) -> nn.Module:
        """forward(batch, generator) -> {"loss": scalar, ...}; holds every trained parameter."""
        ...

    def dataset(self) -> DrawDataset:
        """The training rows."""
        ...

    def preview(self) -> Tensor:
        """Images (B, 1, H, W) in [-1, 1] that show the present state; always from the same noise."""
        ...

    def validate(self) -> Mapping[str, float]:
        """Measures on the validation split."""
        ...


@runtime_checkable
class Grouped(Protocol):
    """A module whose parts learn at different rates."""

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """The optimizer's groups: `params`, and `lr` where it is not the run's."""
        ...


class StepBatches:
    """Batches of draws, a pure function of (seed, position): resuming needs the position and nothing else.

    Each epoch is a fresh permutation; a batch may cross the border of two epochs. Process `rank` of `world` takes its
    share of every batch.
    """

    def __init__(self, num_rows: int, batch_size: int, seed: int, first: int, last: int, rank: int, world: int) -> None:
        if num_rows < 1:
            raise StudioError("There are no training images.")
        if batch_size % world:
            raise StudioError(f"batch_size {batch_size} must be a multiple of the number of processes, {world}.")
        self.num_rows, self.batch_size, self.seed = num_rows, batch_size, seed
        self.first, self.last, self.rank, self.world = first, last, rank, world

    def __len__(self) -> int:
        return self.last - self.first

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch, order = -1, torch.empty(0)
        for position in range(self.first, self.last):
            batch = []
            for place in range(position * self.batch_size, (position + 1) * self.batch_size):
                if place // self.num_rows != epoch:
                    epoch = place // self.num_rows
                    order = torch.randperm(self.num_rows, generator=step_generator(self.seed, epoch))
                batch.append(Draw(int(order[place % self.num_rows]), self.seed * 1_000_003 + place))
            yield batch[self.rank :: self.world]


def step_generator(seed: int, *counters: int) -> torch.Generator:
    """A generator that is a pure function of its arguments."""
    value = seed
    for counter in counters:
        value = (value * 6_364_136_223_846_793_005 + counter + 1_442_695_040_888_963_407) % 2**63
    return torch.Generator().manual_seed(value)
