"""Arrays that cost a pass through a network, computed once and kept in a run's folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn


def content_key(settings: str, network: nn.Module, rows: Iterable[bytes]) -> str:
    """16 hex digits over what an array depends on: settings, a network's weights and the bytes that stand for rows."""
    digest = hashlib.sha256(settings.encode())
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode() + value.cpu().float().numpy().tobytes())
    for row in rows:
        digest.update(row)
    return digest.hexdigest()[:16]


def cached_array(folder: Path, key: str, make: Callable[[], NDArray[Any]]) -> np.memmap[Any, Any]:
    """The array of `folder`/`key`.npy, mapped from disk; made and written at the first call."""
    path = folder / f"{key}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        staged = path.with_suffix(".tmp")
        with staged.open("wb") as file:
            np.save(file, make())
        staged.replace(path)
    array: np.memmap[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array
