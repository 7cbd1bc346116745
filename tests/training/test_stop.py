"""A signal is heard in every phase of a training, and nothing that was trained is lost."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor

from tests.training.toy import CONFIG, Lines, Toy, digest, log, newest
from xray_generator.training.loop import TrainingStopped, train
from xray_generator.training.stop import SIGNALS, stop_request
from xray_generator.training.task import Draw


def send(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """SIGHUP is heard, also where the tests themselves run under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


class Reporting(Toy):
    """Sends a signal in its n-th validation, and notes whether a preview was drawn after it."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n, self.validations, self.previews = n, 0, 0

    def validate(self) -> Mapping[str, float]:
        self.validations += 1
        if self.validations == self.n:
            send()
        return super().validate()

    def preview(self) -> Tensor:
        self.previews += 1
        return super().preview()


@pytest.mark.parametrize("report", [1, 2, 3])
def test_a_stop_in_a_report_is_heard_at_once_and_the_report_is_made_later(tmp_path: Path, report: int) -> None:
    train(Toy(), CONFIG, tmp_path / "straight")
    task = Reporting(report)
    with pytest.raises(TrainingStopped) as stopped:
        train(task, CONFIG, tmp_path / "stopped")
    assert stopped.value.code == 143
    assert (task.validations, task.previews) == (report, report - 1)
    assert newest(tmp_path / "stopped")["step"] == 4 * report
    train(Toy(), CONFIG, tmp_path / "stopped")
    assert digest(tmp_path / "stopped") == digest(tmp_path / "straight")
    for name in ("straight", "stopped"):
        steps = [entry["step"] for entry in log(tmp_path / name) if "validation_error" in entry]
        assert steps == [4, 8, 12]
        assert len(list((tmp_path / name / "previews").iterdir())) == 3
    again = Reporting(0)
    train(again, CONFIG, tmp_path / "stopped")
    assert again.validations == 0


@pytest.mark.parametrize("number", SIGNALS)
def test_every_signal_saves_the_step_that_is_being_taken(tmp_path: Path, number: int) -> None:
    with pytest.raises(TrainingStopped):
        train(Toy(lambda call: send(number) if call == 3 else None), CONFIG, tmp_path)
    assert newest(tmp_path)["step"] == 3


def test_a_stop_while_a_stage_is_prepared_is_heard_at_once(tmp_path: Path) -> None:
    class Slow(Toy):
        def dataset(self) -> Lines:
            send()
            raise AssertionError("not heard")

    with pytest.raises(TrainingStopped):
        train(Slow(), CONFIG, tmp_path)


def test_outside_the_loop_a_signal_ends_the_work_at_once() -> None:
    done = []

    def work() -> None:
        with stop_request():
            done.append("begun")
            send()
            done.append("ended")

    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(TrainingStopped):
        work()
    assert done == ["begun"]
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_hang_up_that_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        train(Toy(lambda call: send(signal.SIGHUP) if call == 3 else None), CONFIG, tmp_path)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert newest(tmp_path)["step"] == 12


def lines(at: Callable[[Draw], object]) -> Lines:
    class Watched(Lines):
        def __getitem__(self, draw: Draw) -> Mapping[str, Tensor]:
            at(draw)
            return super().__getitem__(draw)

    return Watched()


def test_a_signal_to_the_copies_that_read_data_leaves_the_training_alone(tmp_path: Path) -> None:
    """A terminal sends Ctrl+C, a scheduler SIGTERM, to all processes of a job."""
    parent = os.getpid()

    def at(draw: Draw) -> None:
        assert os.getpid() != parent
        if draw.index == 3:
            for number in SIGNALS:
                send(number)

    toy = Toy()
    toy.rows = lines(at)
    train(toy, replace(CONFIG, num_workers=1), tmp_path / "signaled")
    train(Toy(), CONFIG, tmp_path / "straight")
    assert digest(tmp_path / "signaled") == digest(tmp_path / "straight")
