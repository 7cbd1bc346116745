"""Training states on disk, written atomically with a hash, tensors and plain values only; and the lock of a run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from xray_generator.checkpoints import sha256
from xray_generator.folders import replace_folder, restore_all
from xray_generator.types import StudioError

LOCK = "lock"  # a file in the folder of a run
PREFIX, ASIDE = "step-", ".tmp-step-"  # of a state's folder: complete, and being written or removed
State = dict[str, Any]  # tensors, numbers, text, lists and dicts of these


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder and hold its lock: two runs in one folder would overwrite each other.

    Of a distributed run the first process holds it for all.

    Raises:
        StudioError: another training holds it, or the folder cannot be written to.
    """
    lock: AbstractContextManager[object] = (
        nullcontext() if int(os.environ.get("RANK", "0")) else FileLock(folder / LOCK, timeout=0)
    )
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(lock)
        except Timeout:
            raise StudioError(f"Another training uses {folder}. Choose another --output_dir.") from None
        except OSError as error:
            raise StudioError(f"Cannot write to {folder}: {error.strerror}.") from error
        yield


def fsync(path: Path) -> None:
    """Flush a file or folder to disk; Windows opens no folder for that, and flushes only what may be written."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save_state(folder: Path, step: int, state: State, keep: int) -> Path:
    """Write folder/step-N (state, then manifest, then one rename); of it and its forerunners keep the newest `keep`.

    Damaged and incomplete forerunners do not count and go too. Later states stay: they could not be loaded, else the
    run had gone on from there.

    Raises:
        StudioError: the disk is full or not writable; earlier states are untouched.
    """
    final = folder / f"{PREFIX}{step:08d}"
    staged = folder / f"{ASIDE}{step:08d}-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        staged.mkdir()
        torch.save(state, staged / "state.pt")
        fsync(staged / "state.pt")
        manifest = {"step": step, "sha256": sha256(staged / "state.pt")}
        (staged / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        fsync(staged / "manifest.json")
        replace_folder(staged, final)
        fsync(folder)
    except (OSError, RuntimeError) as error:
        shutil.rmtree(staged, ignore_errors=True)
        if is_of_reader(error):
            raise
        free = shutil.disk_usage(folder).free / 2**30 if folder.exists() else 0
        # torch reports a full disk as RuntimeError, in words about its own files
        reason = error.strerror if isinstance(error, OSError) else "the disk is full or fails"
        raise StudioError(
            f"Cannot save the training state at step {step} ({free:.1f} GiB free): {reason}. Earlier states are kept; "
            "make room and continue the run."
        ) from error
    forerunners = sorted(path for path in folder.glob(f"{PREFIX}*/") if path.name < final.name)
    kept = [final, *filter(_is_whole, reversed(forerunners))][:keep]
    for old in set(forerunners) - set(kept):
        old.replace(folder / f".tmp-{old.name}")
    sweep(folder)
    return final


def is_of_reader(error: Exception) -> bool:
    """Whether a process that reads data died or hangs. torch tells it at any moment, also in the midst of a save."""
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader")


def sweep(folder: Path) -> None:
    """Remove what a killed process was writing or removing; the run's lock says that no other one does."""
    restore_all(folder)
    for leftover in folder.glob(f"{ASIDE}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def saved_states(folder: Path) -> list[Path]:
    """Complete states, oldest first."""
    return sorted(path.parent for path in folder.glob(f"{PREFIX}*/manifest.json"))


def load_newest_state(folder: Path) -> tuple[State | None, tuple[str, ...]]:
    """The newest state that is whole (None if none was saved), and what was passed over, in words.

    Raises:
        StudioError: states were saved, but none can be read.
    """
    skipped: list[str] = []
    for path in reversed(saved_states(folder)):
        try:
            return _load(path), tuple(skipped)
        except Exception as error:  # noqa: BLE001 - foreign bytes: unpickling may raise anything
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            skipped.append(f"{path.name} is damaged ({reason[:200]}) and was passed over")
    if skipped:
        raise StudioError(
            f"None of the states in {folder} can be read: {'; '.join(skipped)}. Restore one, or remove that folder to "
            "begin this stage anew."
        )
    return None, ()


def _load(path: Path) -> State:
    if not _is_whole(path):
        raise ValueError("a file is missing or its hash differs from the manifest's")
    state: State = torch.load(path / "state.pt", map_location="cpu", weights_only=True)
    return state


def _is_whole(path: Path) -> bool:
    try:
        return bool(json.loads((path / "manifest.json").read_bytes())["sha256"] == sha256(path / "state.pt"))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
