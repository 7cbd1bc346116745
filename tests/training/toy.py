"""A toy task for the loop: a line, learned in a second."""

import hashlib
import json
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xray_generator.training.settings import TrainingConfig
from xray_generator.training.state import saved_states
from xray_generator.training.task import Draw, step_generator

CONFIG = TrainingConfig(
    num_steps=12,
    batch_size=4,
    learning_rate=0.03,
    warmup_steps=2,
    ema_decay=0.9,
    checkpoint_every=4,
    log_every=2,
    mixed_precision="no",
)


class Lines:
    """y = 2 x - 1 at 16 places, each with a little noise of its draw."""

    def __len__(self) -> int:
        return 16

    def __getitem__(self, draw: Draw) -> Mapping[str, Tensor]:
        x = torch.linspace(-1, 1, 16)[draw.index : draw.index + 1]
        return {"x": x + 0.01 * torch.randn(1, generator=step_generator(draw.seed)), "y": 2 * x - 1}


class Line(nn.Module):
    """A small network with dropout, so that even the global random state must be resumed."""

    def __init__(self, at_step: Callable[[int], object], dropout: float, noise: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1))
        self.at_step, self.noise, self.calls = at_step, noise, 0

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        if self.training:
            self.calls += 1
            factor = self.at_step(self.calls)
        else:
            factor = None
        noise = self.noise * torch.randn(batch["x"].shape, generator=generator)
        loss = (self.net(batch["x"] + noise) - batch["y"]).square().mean()
        return {"loss": loss * factor if isinstance(factor, float) else loss, "squared": loss}


class Toy:
    def __init__(
        self, at_step: Callable[[int], object] = lambda _: None, dropout: float = 0.2, noise: float = 0.01
    ) -> None:
        self.module, self.rows = Line(at_step, dropout, noise), Lines()

    def dataset(self) -> Lines:
        return self.rows

    def preview(self) -> Tensor:
        return torch.tanh(self.module.net(torch.linspace(-1, 1, 256)[:, None])).reshape(1, 1, 16, 16)

    @torch.no_grad()
    def validate(self) -> Mapping[str, float]:
        x = torch.linspace(-1, 1, 50)[:, None]
        return {"validation_error": float((self.module.net(x) - (2 * x - 1)).square().mean())}


def newest(folder: Path) -> dict[str, Any]:
    return torch.load(saved_states(folder / "states")[-1] / "state.pt", weights_only=True)


def digest(folder: Path) -> str:
    """SHA-256 over every value of the newest state: weights, EMA, optimizer, schedule and random state."""
    sha = hashlib.sha256()

    def add(value: object) -> None:
        if isinstance(value, Tensor):
            sha.update(f"{value.dtype}{tuple(value.shape)}".encode() + value.contiguous().numpy().tobytes())
        elif isinstance(value, Mapping):
            for key in sorted(value, key=str):
                sha.update(str(key).encode())
                add(value[key])
        elif isinstance(value, list | tuple):
            for item in value:
                add(item)
        else:
            sha.update(repr(value).encode())

    add(newest(folder))
    return sha.hexdigest()


def log(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def terminate_at(step: int) -> Callable[[int], None]:
    return lambda now: os.kill(os.getpid(), signal.SIGTERM) if now == step else None
