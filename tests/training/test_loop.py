"""The training loop on a toy: it learns, stops in order, and resumes to the bit."""

import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.toy import CONFIG, Lines, Toy, digest, log, newest, terminate_at
from xray_generator.images import read_image
from xray_generator.training.loop import TrainingStopped, train
from xray_generator.training.state import saved_states
from xray_generator.training.task import Draw


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


def test_a_plateau_falls_at_its_end_and_can_be_prolonged_before(tmp_path: Path) -> None:
    config = replace(CONFIG, lr_schedule="plateau", decay_share=0.25, log_every=1)
    train(Toy(), config, tmp_path / "short")
    rates = [entry["learning_rate"] for entry in log(tmp_path / "short") if "learning_rate" in entry]
    assert rates[1:8] == pytest.approx([0.03] * 7) and rates[9:] == pytest.approx([0.02, 0.01, 0.0], abs=1e-9)
    with pytest.raises(TrainingStopped):
        train(Toy(terminate_at(8)), config, tmp_path / "prolonged")
    train(Toy(), replace(config, num_steps=24), tmp_path / "prolonged")
    train(Toy(), replace(config, num_steps=24), tmp_path / "straight")
    assert digest(tmp_path / "prolonged") == digest(tmp_path / "straight")


def test_a_run_of_limited_time_ends_as_one_that_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(TrainingStopped):
        train(Toy(lambda _: time.sleep(0.1)), replace(CONFIG, max_minutes=0.01), tmp_path)
    assert newest(tmp_path)["step"] < CONFIG.num_steps
    train(Toy(), CONFIG, tmp_path)
    assert newest(tmp_path)["step"] == CONFIG.num_steps


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


def test_workers_change_nothing(tmp_path: Path) -> None:
    for workers in (0, 2):
        train(Toy(), replace(CONFIG, num_workers=workers), tmp_path / str(workers))
    assert digest(tmp_path / "0") == digest(tmp_path / "2")


def test_where_no_process_can_fork_the_training_reads_its_data_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Here(Lines):
        def __getitem__(self, draw: Draw) -> Mapping[str, Tensor]:
            assert os.getpid() == training
            return super().__getitem__(draw)

    toy, training = Toy(), os.getpid()
    toy.rows = Here()
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])  # as on Windows
    train(toy, replace(CONFIG, num_workers=2), tmp_path)
    assert len(log(tmp_path)) > 0


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
