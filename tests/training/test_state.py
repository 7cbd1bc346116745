"""States on disk: whole or not there, never code, and the last good one is always found."""

import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from xray_generator.training.state import load_newest_state, save_state, saved_states, sweep
from xray_generator.types import StudioError


def state(step: int) -> dict[str, Any]:
    return {"step": step, "module": {"w": torch.full((3,), float(step))}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for step in (1, 2, 3):
        save_state(tmp_path / "states", step, state(step), keep=3)
    return tmp_path / "states"


def newest(folder: Path) -> tuple[int | None, tuple[str, ...]]:
    found, skipped = load_newest_state(folder)
    return None if found is None else found["step"], skipped


def test_newest_is_loaded_and_old_ones_go(folder: Path) -> None:
    assert newest(folder) == (3, ())
    save_state(folder, 10, state(10), keep=2)
    assert [path.name for path in saved_states(folder)] == ["step-00000003", "step-00000010"]


def test_step_is_the_order_and_not_the_clock(folder: Path) -> None:
    os.utime(folder / "step-00000001", (2**31, 2**31))
    assert newest(folder) == (3, ())


def test_nothing_saved_is_nothing_found(tmp_path: Path) -> None:
    assert newest(tmp_path / "none") == (None, ())


@pytest.mark.parametrize("fault", ["cut", "empty", "flip", "missing"])
def test_damaged_newest_is_passed_over_and_named(folder: Path, fault: str) -> None:
    path = folder / "step-00000003" / "state.pt"
    data = bytearray(path.read_bytes())
    if fault == "missing":
        path.unlink()
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "flip": data}[fault])
    step, (message,) = newest(folder)
    assert step == 2
    assert "step-00000003 is damaged" in message


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"{}", b"\xff", b"[" * 100_000])
def test_damaged_manifest_is_passed_over_and_named(folder: Path, content: bytes) -> None:
    (folder / "step-00000003" / "manifest.json").write_bytes(content)
    step, (message,) = newest(folder)
    assert step == 2
    assert "step-00000003" in message


def test_missing_manifest_means_not_finished(folder: Path) -> None:
    (folder / "step-00000003" / "manifest.json").unlink()
    assert newest(folder) == (2, ())


def test_all_damaged_is_refused_and_all_named(folder: Path) -> None:
    for path in folder.glob("*/state.pt"):
        path.write_bytes(b"")
    with pytest.raises(StudioError, match="None of the states") as refused:
        load_newest_state(folder)
    assert all(f"step-0000000{step}" in str(refused.value) for step in (1, 2, 3))


def test_damaged_states_are_not_counted_as_kept_ones(folder: Path) -> None:
    (folder / "step-00000002" / "state.pt").write_bytes(b"half")
    (folder / "step-00000003" / "manifest.json").write_text("[" * 100_000)
    save_state(folder, 4, state(4), keep=2)
    assert [path.name for path in saved_states(folder)] == ["step-00000001", "step-00000004"]


@pytest.mark.parametrize("keep", [1, 2])
def test_state_just_saved_outlives_a_later_damaged_one(folder: Path, keep: int) -> None:
    """The run went on from step 1, since 2 and 3 are damaged."""
    for step in (2, 3):
        (folder / f"step-0000000{step}" / "state.pt").write_bytes(b"half")
    save_state(folder, 2, state(2), keep)
    assert newest(folder)[0] == 2


def test_leftover_of_a_killed_writer_is_ignored_and_swept(folder: Path) -> None:
    leftover = folder / ".tmp-step-00000004-99999"
    leftover.mkdir()
    (leftover / "state.pt").write_bytes(b"half")
    (leftover / "manifest.json").write_text("{")
    (folder / "notes").mkdir()
    assert newest(folder) == (3, ())
    save_state(folder, 4, state(4), keep=3)
    assert not leftover.exists()
    assert (folder / "notes").exists()
    assert newest(folder) == (4, ())


def test_what_a_killed_process_was_removing_or_replacing_is_swept(folder: Path) -> None:
    (folder / "step-00000001" / "manifest.json").unlink()  # as an older version left it
    (folder / "step-00000002").rename(folder / ".tmp-step-00000002")
    (folder / "step-00000003").rename(folder / ".old-step-00000003")
    sweep(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000001", "step-00000003"]
    save_state(folder, 4, state(4), keep=2)
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000003", "step-00000004"]


def test_a_full_disk_is_said_in_plain_words(folder: Path) -> None:
    limit, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, most))
    try:
        with pytest.raises(StudioError, match=r"\): (the disk is full or fails|File too large)\. Earlier") as told:
            save_state(folder, 4, {"w": torch.zeros(50_000)}, keep=3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    assert "pytorch" not in str(told.value).lower() and str(folder) not in str(told.value)
    assert newest(folder) == (3, ())
    assert not list(folder.glob(".*"))


def test_same_step_is_written_over(folder: Path) -> None:
    save_state(folder, 3, state(3) | {"step": 33}, keep=3)
    assert newest(folder) == (33, ())


def test_state_holds_no_code(folder: Path) -> None:
    data = torch.load(folder / "step-00000003" / "state.pt", weights_only=True)
    assert torch.equal(data["module"]["w"], torch.full((3,), 3.0))


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch '{self.path}'",)


def test_state_that_holds_code_is_passed_over_and_never_run(folder: Path, tmp_path: Path) -> None:
    save_state(folder, 4, state(4) | {"x": Canary(tmp_path / "canary")}, keep=4)  # with an honest hash
    step, (message,) = newest(folder)
    assert step == 3
    assert "step-00000004" in message
    assert not (tmp_path / "canary").exists()


def test_failed_write_is_told_and_leaves_the_earlier_states(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.glob("*/*")}
    (folder / "step-00000004").write_text("a file stands where the folder should go")
    with pytest.raises(StudioError, match=r"Cannot save the training state at step 4 \(.* GiB free\)"):
        save_state(folder, 4, state(4), keep=3)
    assert {path: path.read_bytes() for path in folder.glob("*/*")} == before
    assert not list(folder.glob(".tmp*"))


def test_manifest_names_the_hash(folder: Path) -> None:
    import hashlib

    manifest = json.loads((folder / "step-00000003" / "manifest.json").read_text())
    assert manifest == {
        "step": 3,
        "sha256": hashlib.sha256((folder / "step-00000003" / "state.pt").read_bytes()).hexdigest(),
    }
