"""The training loop hides no fault, and keeps the last good state."""

import multiprocessing
import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.training.toy import CONFIG, Lines, Toy, digest, log, newest
from xray_generator.training.loop import train
from xray_generator.training.state import save_state, saved_states
from xray_generator.training.task import Draw
from xray_generator.types import StudioError


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
    expected = KeyError if isinstance(fault, KeyError) else StudioError
    with pytest.raises(expected, match=str(fault).strip("'")):
        train(toy, replace(CONFIG, num_workers=workers), tmp_path)
    assert not (tmp_path / "states").exists() or newest(tmp_path)["step"] < 5


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_data_that_vanish_stop_the_run_after_its_state_is_saved(
    tmp_path: Path, workers: int, accumulation: int
) -> None:
    config = replace(CONFIG, num_workers=workers, gradient_accumulation_steps=accumulation)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "row").touch()

    class OnDisk(Lines):
        def __getitem__(self, draw: Draw) -> Mapping[str, Tensor]:
            (tmp_path / "data" / "row").read_bytes()
            return super().__getitem__(draw)

    def vanish(call: int) -> None:
        if call == 5 * accumulation:
            (tmp_path / "data").rename(tmp_path / "gone")

    toy, resumed = Toy(vanish), Toy()
    toy.rows = resumed.rows = OnDisk()
    with pytest.raises(StudioError, match="stopped at step .*, whose state is saved, because data.*row'$") as stopped:
        train(toy, config, tmp_path / "run")
    assert "\n" not in str(stopped.value)
    step = newest(tmp_path / "run")["step"]
    assert f"at step {step}," in str(stopped.value) and step >= 5
    (tmp_path / "gone").rename(tmp_path / "data")
    train(resumed, config, tmp_path / "run")
    train(Toy(), config, tmp_path / "straight")
    assert digest(tmp_path / "run") == digest(tmp_path / "straight")


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


def test_data_that_are_gone_before_the_first_step_are_said_so(tmp_path: Path) -> None:
    class Gone(Lines):
        def __getitem__(self, draw: Draw) -> Mapping[str, Tensor]:
            raise OSError

    toy = Toy()
    toy.rows = Gone()
    with pytest.raises(StudioError, match="stopped before its first step because data cannot be read: OSError"):
        train(toy, CONFIG, tmp_path)


@pytest.mark.parametrize("part", ["optimizer", "module", "step", "ema", "rng", "lr_scheduler"])
def test_a_state_that_lacks_a_part_is_refused_in_words(tmp_path: Path, part: str) -> None:
    train(Toy(), CONFIG, tmp_path)
    state = newest(tmp_path)
    del state[part]
    save_state(tmp_path / "states", 12, state, keep=2)
    with pytest.raises(StudioError, match=f"is incomplete: it has no '{part}'"):
        train(Toy(), CONFIG, tmp_path)


def test_the_log_goes_on_from_the_state_that_the_run_resumes_from(tmp_path: Path) -> None:
    train(Toy(), CONFIG, tmp_path)
    whole = [entry["step"] for entry in log(tmp_path)]
    (saved_states(tmp_path / "states")[-1] / "state.pt").write_bytes(b"half")
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 12, "lo')  # the process was killed
    train(Toy(), CONFIG, tmp_path)
    assert [entry["step"] for entry in log(tmp_path)] == whole == sorted(whole)


def test_weights_that_are_no_numbers_are_never_saved(tmp_path: Path) -> None:
    """A step may spoil the weights though its loss and gradient are finite, just when a state is due."""
    toy = Toy()

    def spoil(module: nn.Module, _inputs: object, _output: object) -> None:
        if toy.module.calls == 8 and module.training:
            toy.module.net[0].bias.data.fill_(float("nan"))  # not needed to find a gradient

    toy.module.register_forward_hook(spoil)
    with pytest.raises(StudioError, match=r"stopped at step 8: net\.0\.bias, average 1 is not finite"):
        train(toy, CONFIG, tmp_path)
    assert [path.name for path in saved_states(tmp_path / "states")] == ["step-00000004"]
    assert all(torch.isfinite(value).all() for value in newest(tmp_path)["ema"]["shadow_params"])


def test_run_whose_states_are_all_damaged_does_not_begin_anew(tmp_path: Path) -> None:
    train(Toy(), CONFIG, tmp_path)
    for path in saved_states(tmp_path / "states"):
        (path / "state.pt").write_bytes(b"half")
    before = (tmp_path / "log.jsonl").read_text()
    with pytest.raises(StudioError, match=r"None of the states in .* can be read.*begin this stage anew"):
        train(Toy(), CONFIG, tmp_path)
    assert (tmp_path / "log.jsonl").read_text() == before


def test_a_reader_that_dies_ends_the_run_in_a_sentence_and_leaves_a_state_to_go_on_from(tmp_path: Path) -> None:
    class Dying(Lines):
        def __getitem__(self, draw: Draw) -> Mapping[str, Tensor]:
            if draw.seed >= 40:  # in the 11th batch
                os._exit(7)
            return super().__getitem__(draw)

    config, toy = replace(CONFIG, num_workers=1), Toy()
    toy.rows = Dying()
    with pytest.raises(
        StudioError, match=r"stopped .* because data cannot be read: DataLoader worker .*exited"
    ) as told:
        train(toy, config, tmp_path)
    assert "state" in str(told.value) and newest(tmp_path)["step"] >= 4
    train(Toy(), config, tmp_path)
    train(Toy(), config, tmp_path / "straight")
    assert digest(tmp_path) == digest(tmp_path / "straight")


def test_a_reader_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xray_generator.training.loop.WORKER_TIMEOUT_S", 1)

    class Hanging(Lines):
        def __getitem__(self, draw: Draw) -> Mapping[str, Tensor]:
            if draw.seed >= 40:
                threading.Event().wait()
            return super().__getitem__(draw)

    toy = Toy()
    toy.rows = Hanging()
    with pytest.raises(StudioError, match=r"at step 10, whose state is saved, because .*DataLoader timed out"):
        train(toy, replace(CONFIG, num_workers=1), tmp_path)
    assert newest(tmp_path)["step"] == 10
    assert multiprocessing.active_children() == []


def test_a_log_that_cannot_be_written_is_said_and_the_states_are_kept(tmp_path: Path) -> None:
    def fill(call: int) -> None:
        if call == 5:
            (tmp_path / "log.jsonl").rename(tmp_path / "before.jsonl")
            (tmp_path / "log.jsonl").symlink_to("/dev/full")

    with pytest.raises(StudioError, match=r"Cannot write the log of .* at step 6: No space left on device"):
        train(Toy(fill), CONFIG, tmp_path)
    assert newest(tmp_path)["step"] == 4
    (tmp_path / "before.jsonl").replace(tmp_path / "log.jsonl")
    train(Toy(), CONFIG, tmp_path)
    train(Toy(), CONFIG, tmp_path / "straight")
    assert digest(tmp_path) == digest(tmp_path / "straight")
