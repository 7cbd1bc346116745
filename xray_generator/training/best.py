"""The best validation of a stage so far: which one it was stands in the log, its weights in a file beside that."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from xray_generator.training.history import LOG, read_stage
from xray_generator.training.settings import TrainingConfig
from xray_generator.types import StudioError, quote

WEIGHTS, STEP = "best.safetensors", "step"  # in the folder of a stage; what its header says


@dataclass(frozen=True, slots=True)
class Best:
    """The validations of a stage by `config.best_by`; those that are no finite number count for nothing."""

    folder: Path
    config: TrainingConfig

    def check(self, measured: Mapping[str, float]) -> None:
        """Do nothing where a validation gives the measure; else raise StudioError."""
        if self.config.best_by not in measured:
            known = ", ".join(measured) or "nothing, for there are no validation images"
            raise StudioError(f"best_by names {quote(self.config.best_by)}; this stage measures: {known}.")

    def note(self, step: int, measured: Mapping[str, float], weights: Sequence[Tensor]) -> None:
        """Keep the weights of a validation that is better than all before it.

        Raises:
            StudioError: they cannot be written.
        """
        value = measured.get(self.config.best_by, math.nan)
        earlier = [self._rank(other) for at, other in self.validations().items() if at < step]
        if not math.isfinite(value) or not all(self._rank(value) < other for other in earlier):
            return
        path, tensors = self.folder / WEIGHTS, {f"{i:06d}": weight.detach().cpu() for i, weight in enumerate(weights)}
        staged = path.with_name(f".tmp-{WEIGHTS}")
        try:
            save_file(tensors, staged, {STEP: str(step)})
            staged.replace(path)
        except (OSError, SafetensorError) as error:
            raise StudioError(f"Cannot save the best weights at step {step}: {error}. Make room and go on.") from error

    def is_over(self) -> bool:
        """Whether `patience` validations have passed without a better one."""
        found, step = self.validations(), self.step()
        patience = self.config.patience
        return patience is not None and step is not None and sum(at > step for at in found) >= patience

    def load(self, weights: Sequence[Tensor]) -> None:
        """Copy the best weights into those of the stage; nothing where no validation was a finite number.

        Raises:
            StudioError: they are missing, or of another step or model than the log's best.
        """
        if (step := self.step()) is None:
            return
        if best_step(self.folder) != step:
            raise StudioError(f"{self.folder.name}/{WEIGHTS} does not hold the best weights, those of step {step}.")
        with safe_open(self.folder / WEIGHTS, "pt") as file, torch.no_grad():
            for name, weight in zip(sorted(file.keys()), weights, strict=True):
                weight.copy_(file.get_tensor(name))

    def step(self) -> int | None:
        """That of the best validation, the first of equal ones; None before any."""
        found = self.validations()
        return min(found, key=lambda step: self._rank(found[step]), default=None)

    def validations(self) -> dict[int, float]:
        """The measure at each step where it was validated."""
        name, log = self.config.best_by, self.folder / LOG
        rows = read_stage(self.folder).rows if name and log.is_file() else ()
        return {int(row["step"]): row[name] for row in rows if name in row and "loss" not in row}

    def _rank(self, value: float) -> float:
        return -value if self.config.best_is == "higher" else value


def best_step(folder: Path) -> int | None:
    """The step of the best weights of a finished stage; None where none were kept."""
    path = folder / WEIGHTS
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            return int(file.metadata()[STEP])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise StudioError(f"{folder.name}/{WEIGHTS} cannot be read: {error}") from error
