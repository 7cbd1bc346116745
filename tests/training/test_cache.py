"""Arrays that are computed once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from xray_generator.training.cache import cached_array, content_key


def test_an_array_is_made_once_and_then_read(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float16).reshape(2, 3)
    first = cached_array(tmp_path / "cache", "values-1", lambda: values)
    second = cached_array(tmp_path / "cache", "values-1", lambda: pytest.fail("made again"))
    assert np.array_equal(first, values) and np.array_equal(second, values) and second.dtype == np.float16
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["values-1.npy"]


def test_an_array_that_cannot_be_made_leaves_none_behind(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        cached_array(tmp_path, "values-1", lambda: np.zeros(1 // 0))
    assert not list(tmp_path.glob("*.npy"))


def test_the_key_depends_on_settings_weights_and_rows() -> None:
    torch.manual_seed(0)
    network, other = nn.Linear(2, 3), nn.Linear(2, 3)
    cases = [("64", network, [b"a"]), ("32", network, [b"a"]), ("64", other, [b"a"]), ("64", network, [b"a", b"b"])]
    keys = [content_key(*case) for case in cases]
    assert len(set(keys)) == 4 and all(len(key) == 16 for key in keys)
    assert content_key(*cases[0]) == keys[0]
