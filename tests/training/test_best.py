"""The weights of the best validation, and an early end: off unless asked for, and the same after a stop."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.toy import CONFIG, Toy, log, newest, terminate_at
from xray_generator.cards import describe_training
from xray_generator.config import dump, parse
from xray_generator.training.best import WEIGHTS, best_step
from xray_generator.training.loop import TrainingStopped, train
from xray_generator.training.settings import TrainingConfig
from xray_generator.training.state import saved_states
from xray_generator.types import StudioError

MEASURE = "validation_error"
WORST = replace(CONFIG, best_by=MEASURE, best_is="higher", keep_checkpoints=99)  # that of the first one: it learns


def averages(folder: Path) -> dict[int, list[torch.Tensor]]:
    states = [torch.load(path / "state.pt", weights_only=True) for path in saved_states(folder / "states")]
    return {state["step"]: state["ema"]["shadow_params"] for state in states}


def assert_weights_are(toy: Toy, expected: list[torch.Tensor]) -> None:
    assert all(torch.equal(p, e) for p, e in zip(toy.module.parameters(), expected, strict=True))


@pytest.mark.parametrize("best_is", ["lower", "higher"])
def test_it_ends_with_the_weights_of_the_best_validation(tmp_path: Path, best_is: str) -> None:
    toy = Toy()
    train(toy, replace(WORST, best_is=best_is), tmp_path)
    values = {entry["step"]: entry[MEASURE] for entry in log(tmp_path) if MEASURE in entry}
    best = (min if best_is == "lower" else max)(values, key=values.__getitem__)
    assert best_step(tmp_path) == best and newest(tmp_path)["step"] == 12
    toy.module.eval()
    assert toy.validate()[MEASURE] == values[best]
    assert_weights_are(toy, averages(tmp_path)[best])


def test_without_a_better_validation_it_ends_early_and_stays_ended(tmp_path: Path) -> None:
    config = replace(WORST, num_steps=40, patience=2)
    for _ in range(2):
        toy = Toy()
        train(toy, config, tmp_path)
        assert newest(tmp_path)["step"] == 12 and best_step(tmp_path) == 4
        assert_weights_are(toy, averages(tmp_path)[4])
    train(Toy(), replace(config, best_is="lower"), tmp_path / "learning")
    assert newest(tmp_path / "learning")["step"] == 40


@pytest.mark.parametrize("stop", [2, 4, 6, 12])
def test_a_run_that_was_stopped_keeps_the_same_weights(tmp_path: Path, stop: int) -> None:
    config, straight, resumed = replace(WORST, patience=2, num_steps=16), Toy(), Toy()
    train(straight, config, tmp_path / "straight")
    with pytest.raises(TrainingStopped):
        train(Toy(terminate_at(stop)), config, tmp_path / "resumed")
    train(resumed, config, tmp_path / "resumed")
    assert_weights_are(resumed, list(straight.module.parameters()))
    assert newest(tmp_path / "resumed")["step"] == newest(tmp_path / "straight")["step"] == 12


def test_it_is_off_by_default_and_older_settings_are_read(tmp_path: Path) -> None:
    train(Toy(), CONFIG, tmp_path)
    assert best_step(tmp_path) is None and not (tmp_path / WEIGHTS).exists()
    older = {name: value for name, value in dump(CONFIG).items() if name not in ("best_by", "best_is", "patience")}
    assert parse(TrainingConfig, older) == CONFIG
    assert describe_training(CONFIG).endswith("seed 0")
    assert "at most 12 steps" in describe_training(replace(WORST, patience=2))
    assert describe_training(WORST).endswith("the weights of the highest validation_error of all validations")


def test_a_measure_that_is_not_there_is_refused_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match=r"best_by names 'psnr'; this stage measures: validation_error\."):
        train(Toy(), replace(CONFIG, best_by="psnr"), tmp_path)
    assert not saved_states(tmp_path / "states")
    with pytest.raises(StudioError, match="patience needs best_by"):
        replace(CONFIG, patience=2)


def test_best_weights_that_are_gone_or_damaged_are_named(tmp_path: Path) -> None:
    train(Toy(), WORST, tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"half")
    with pytest.raises(StudioError, match="cannot be read"):
        train(Toy(), WORST, tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(StudioError, match="does not hold the best weights, those of step 4"):
        train(Toy(), WORST, tmp_path)
