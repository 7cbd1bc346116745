"""A process that is killed at any moment loses nothing: a release leaves the older or the newer checkpoint whole, a
training goes on from its last state and ends as one that was never killed.

Kills fall before the operations on files, counted by an audit hook, so that they are the same in every run. A few are
tried here; all of a release are. `KILLS=300 python -m pytest tests/test_kills.py` tries 300 of a training, half of them
at random times instead: inside a write, or between two steps.
"""

import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tqdm import tqdm

from tests.training.toy import CONFIG, Toy, digest, log, newest
from xray_generator import folders
from xray_generator.checkpoints import DataFacts, Manifest, list_checkpoints, verify, write_manifest
from xray_generator.folders import staged
from xray_generator.training.loop import train
from xray_generator.types import Recommendation

KILLS = int(os.environ.get("KILLS", "5"))  # of a training
EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")
DRAFT = Manifest("family", "name", {}, DataFacts(), "", "", {"size": 64}, Recommendation("ddim", 4, 1.0), (64,))


def run(work: Callable[[], object], root: Path, *, kill_at: int = -1, kill_after_s: float = 0.0) -> int:
    """Do the work in a copy of this process, killed before one of its operations on files or after a time.

    The number of operations, which is 0 where it was killed.
    """
    reader, writer = os.pipe()
    if pid := os.fork():
        os.close(writer)
        os.waitpid(pid, 0)
        with os.fdopen(reader) as pipe:
            return int(pipe.read() or 0)
    count = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in EVENTS and (event != "open" or str(arguments[0]).startswith(str(root))):
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, kill_after_s)  # 0: never
        tqdm.set_lock(threading.RLock())  # its own one is shared with this process: a killed copy would keep it
        sys.addaudithook(watch)
        work()
        os.write(writer, str(count).encode())
    finally:
        os._exit(0)


def release(root: Path, content: str) -> None:
    with staged(root / "family" / "name") as place:
        (place / "unet").mkdir()
        for path in (place / "unet" / "config.json", place / "README.md"):
            path.write_text(content)
        write_manifest(place, replace(DRAFT, license=content))


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_killed_release_leaves_a_whole_checkpoint(
    tmp_path: Path, can_exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can_exchange:
        monkeypatch.setattr(folders, "exchange", lambda *_: False)
    release(tmp_path / "counted", "first")
    count = run(lambda: release(tmp_path / "counted", "second"), tmp_path)
    assert count > 10
    seen = set()
    for place in range(count):
        root = tmp_path / str(place)
        release(root, "first")
        assert run(lambda: release(root, "second"), root, kill_at=place) == 0  # noqa: B023 - runs at once
        (found,) = list_checkpoints(root)
        verify(root / "family" / "name", found)
        assert (root / "family" / "name" / "README.md").read_text() == found.license
        seen.add(found.license)
        release(root, "third")
        assert [path.name for path in (root / "family").iterdir()] == ["name"]
    assert seen == {"first", "second"}


def test_a_killed_training_goes_on_and_ends_as_one_never_killed(tmp_path: Path) -> None:
    torch.set_num_threads(1)  # a copy of a process has no other threads
    straight, rng = tmp_path / "straight", random.Random(0)
    train(Toy(), CONFIG, straight)
    count = run(lambda: train(Toy(), CONFIG, tmp_path / "counted"), tmp_path)
    assert count > 30 and digest(tmp_path / "counted") == digest(straight)
    for kill in range(KILLS):
        folder = tmp_path / f"killed {kill}"
        # evenly spread, the first and the last among them; a run that goes on is killed once more
        places = [round(kill * (count - 1) / max(KILLS - 1, 1)), rng.randrange(count)]
        for place in places:
            seconds = rng.uniform(0.01, 1.0) if KILLS > 100 and kill % 2 else 0.0
            run(lambda: train(Toy(), CONFIG, folder), tmp_path, kill_at=place, kill_after_s=seconds)  # noqa: B023
        train(Toy(), CONFIG, folder)
        assert newest(folder)["step"] == CONFIG.num_steps and digest(folder) == digest(straight)
        assert not list(folder.glob("*/.*"))
        steps = [entry["step"] for entry in log(folder)]
        assert steps == sorted(steps) and {4, 8, 12} <= set(steps)
        assert {path.name for path in (folder / "previews").iterdir()} >= {"step-00000012.png"}
