"""The training loop on a toy: it learns, stops in order, resumes to the bit, and never hides a fault."""

import hashlib
import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from xray_generator.images import read_image
from xray_generator.training.loop import TrainingStopped, train
from xray_generator.training.state import saved_states
from xray_generator.training.task import Draw, TrainingConfig, step_generator
from xray_generator.types import StudioError

CONFIG = TrainingConfig(
    num_steps=12, batch_size=4, learning_rate=0.03, warmup_steps=2, ema_decay=0.9, checkpoint_every=4, log_every=2,
    mixed_precision="no",
)  # fmt: skip


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


def test_it_learns_and_ends_with_the_averaged_weights(tmp_path: Path) -> None:
    toy = Toy(dropout=0.0)
    train(toy, replace(CONFIG, num_steps=150, checkpoint_every=75), tmp_path)
    losses = [entry["loss"] for entry in log(tmp_path) if "loss" in entry]
    assert losses[-1] < 0.1 * losses[0]
    assert toy.validate()["validation_error"] < 0.1
    averaged = newest(tmp_path)["ema"]["shadow_params"]
    assert all(torch.equal(p, a) for p, a in zip(toy.module.parameters(), averaged, strict=True))
    assert not torch.equal(averaged[0], newest(tmp_path)["module"]["net.0.weight"])


def test_averaged_weights_are_the_formula(tmp_path: Path) -> None:
    """decay_t = min(0.9, 1 - t^-0.75), counted from 0 at the first step."""
    train(Toy(), replace(CONFIG, checkpoint_every=1, keep_checkpoints=99), tmp_path)
    states = [torch.load(path / "state.pt", weights_only=True) for path in saved_states(tmp_path / "states")]
    expected = [torch.zeros_like(value) for value in states[0]["module"].values()]
    for t, state in enumerate(states, start=1):
        decay = min(0.9, 1 - t**-0.75)
        expected = [decay * e + (1 - decay) * w for e, w in zip(expected, state["module"].values(), strict=True)]
        for e, averaged in zip(expected, state["ema"]["shadow_params"], strict=True):
            assert torch.allclose(e, averaged, atol=1e-6)


def test_log_and_previews_can_be_read(tmp_path: Path) -> None:
    train(Toy(), CONFIG, tmp_path)
    entries = log(tmp_path)
    training = [entry for entry in entries if "loss" in entry]
    assert [entry["step"] for entry in training] == [2, 4, 6, 8, 10, 12]
    assert {"squared", "grad_norm", "learning_rate", "samples_per_second"} <= training[0].keys()
    assert [entry["step"] for entry in entries if "validation_error" in entry] == [4, 8, 12]
    previews = sorted((tmp_path / "previews").iterdir())
    assert [path.name for path in previews] == [f"step-{step:08d}.png" for step in (4, 8, 12)]
    assert read_image(previews[0]).shape == (16, 16)
    assert list((tmp_path / "tensorboard").rglob("events.out.tfevents.*"))


def test_learning_rate_warms_up_and_falls(tmp_path: Path) -> None:
    train(Toy(), replace(CONFIG, log_every=1), tmp_path)
    rates = [entry["learning_rate"] for entry in log(tmp_path) if "learning_rate" in entry]
    assert rates[0] == pytest.approx(0.015)
    assert rates[1] == pytest.approx(0.03)
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_same_run_twice_is_equal_to_the_byte_whatever_the_global_seed(tmp_path: Path) -> None:
    for run in ("a", "b"):
        toy = Toy()
        torch.manual_seed(hash(run) % 1_000)
        train(toy, CONFIG, tmp_path / run)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


@pytest.mark.parametrize("stops", [(1,), (4,), (5,), (11,), (12,), (3, 7), (4, 5)])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_stopped_and_resumed_equals_straight_to_the_byte(
    tmp_path: Path, stops: tuple[int, ...], accumulation: int
) -> None:
    config = replace(CONFIG, gradient_accumulation_steps=accumulation)
    straight, resumed = Toy(), Toy()
    train(straight, config, tmp_path / "straight")
    before, handler = 0, signal.getsignal(signal.SIGTERM)
    for stop in stops:
        with pytest.raises(TrainingStopped) as stopped:
            train(Toy(terminate_at((stop - before) * accumulation)), config, tmp_path / "resumed")
        assert stopped.value.code == 143
        assert signal.getsignal(signal.SIGTERM) == handler
        assert newest(tmp_path / "resumed")["step"] == stop
        before = stop
    train(resumed, config, tmp_path / "resumed")
    assert digest(tmp_path / "resumed") == digest(tmp_path / "straight")
    for a, b in zip(resumed.module.parameters(), straight.module.parameters(), strict=True):
        assert torch.equal(a, b)


def test_run_after_its_end_changes_nothing(tmp_path: Path) -> None:
    train(Toy(), CONFIG, tmp_path)
    before, again = digest(tmp_path), Toy()
    train(again, CONFIG, tmp_path)
    assert digest(tmp_path) == before
    assert torch.equal(next(again.module.parameters()), newest(tmp_path)["ema"]["shadow_params"][0])


def test_accumulated_batches_equal_the_larger_batch(tmp_path: Path) -> None:
    large, small = Toy(dropout=0.0, noise=0.0), Toy(dropout=0.0, noise=0.0)
    train(large, replace(CONFIG, batch_size=8), tmp_path / "large")
    train(small, replace(CONFIG, batch_size=2, gradient_accumulation_steps=4), tmp_path / "small")
    for a, b in zip(large.module.parameters(), small.module.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_loss_that_is_no_number_stops_the_run_and_keeps_the_last_state(
    tmp_path: Path, value: float, accumulation: int
) -> None:
    config = replace(CONFIG, gradient_accumulation_steps=accumulation)
    toy = Toy(lambda call: value if call == 5 * accumulation else None)
    with pytest.raises(StudioError, match="stopped at step 5: .*loss.* is not finite"):
        train(toy, config, tmp_path)
    assert newest(tmp_path)["step"] == 4
    assert all(torch.isfinite(p).all() for p in newest(tmp_path)["module"].values())
    assert all(torch.isfinite(p).all() for p in toy.module.parameters())
    train(Toy(), config, tmp_path)
    train(Toy(), config, tmp_path / "straight")
    assert digest(tmp_path) == digest(tmp_path / "straight")


@pytest.mark.parametrize("fault", [StudioError("cut.png is damaged"), OSError("gone"), KeyError("x")])
@pytest.mark.parametrize("workers", [0, 1])
def test_failing_row_fails_the_run(tmp_path: Path, fault: Exception, workers: int) -> None:
    class Broken(Lines):
        def __getitem__(self, draw: Draw) -> Mapping[str, Tensor]:
            if draw.index == 3:
                raise fault
            return super().__getitem__(draw)

    toy = Toy()
    toy.rows = Broken()
    with pytest.raises(type(fault), match=str(fault).strip("'")):
        train(toy, replace(CONFIG, num_workers=workers), tmp_path)
    assert not (tmp_path / "states").exists() or newest(tmp_path)["step"] < 5


def test_workers_change_nothing(tmp_path: Path) -> None:
    for workers in (0, 2):
        train(Toy(), replace(CONFIG, num_workers=workers), tmp_path / str(workers))
    assert digest(tmp_path / "0") == digest(tmp_path / "2")


def test_failing_preview_comes_after_the_state(tmp_path: Path) -> None:
    class Blind(Toy):
        def preview(self) -> Tensor:
            return torch.full((1, 1, 16, 16), float("nan"))

    with pytest.raises(StudioError, match="not numbers"):
        train(Blind(), CONFIG, tmp_path)
    assert newest(tmp_path)["step"] == 4


def test_damaged_state_is_passed_over_aloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(Toy(), CONFIG, tmp_path)
    before = digest(tmp_path)
    (saved_states(tmp_path / "states")[-1] / "state.pt").write_bytes(b"half")
    train(Toy(), CONFIG, tmp_path)
    output = capsys.readouterr().out
    assert "step-00000012 is damaged" in output
    assert "Resumed from step 8" in output
    assert digest(tmp_path) == before


def test_second_trainer_is_refused(tmp_path: Path) -> None:
    faults: list[str] = []

    def start_another(call: int) -> None:
        if call == 2:
            with pytest.raises(StudioError, match="Another training uses") as refused:
                train(Toy(), CONFIG, tmp_path)
            faults.append(str(refused.value))

    train(Toy(start_another), CONFIG, tmp_path)
    assert len(faults) == 1
    assert newest(tmp_path)["step"] == 12
    train(Toy(), CONFIG, tmp_path)  # the lock is free again


def test_state_of_another_model_is_refused_and_kept(tmp_path: Path) -> None:
    train(Toy(), CONFIG, tmp_path)
    before, wider, frozen = digest(tmp_path), Toy(), Toy()
    wider.module.net = nn.Sequential(nn.Linear(1, 9), nn.Linear(9, 1))
    frozen.module.net[0].requires_grad_(requires_grad=False)
    for other in (wider, frozen):
        with pytest.raises(StudioError, match="is of another model"):
            train(other, CONFIG, tmp_path)
    assert digest(tmp_path) == before


def test_stages_of_one_process_may_differ_in_number_format(tmp_path: Path) -> None:
    train(Toy(), replace(CONFIG, mixed_precision="no"), tmp_path / "a")
    train(Toy(), replace(CONFIG, mixed_precision="bf16"), tmp_path / "b")
    train(Toy(), replace(CONFIG, mixed_precision="no"), tmp_path / "c")
    assert digest(tmp_path / "a") == digest(tmp_path / "c")
    assert digest(tmp_path / "a") != digest(tmp_path / "b")


def test_frozen_parameters_stay(tmp_path: Path) -> None:
    toy = Toy()
    toy.module.net[0].requires_grad_(requires_grad=False)
    before = toy.module.net[0].weight.clone()
    train(toy, CONFIG, tmp_path)
    assert torch.equal(toy.module.net[0].weight, before)
    assert len(newest(tmp_path)["ema"]["shadow_params"]) == 2
