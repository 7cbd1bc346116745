"""A studio of each test's own, opened at the Generator in a browser of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.runtime.context import ContextProxy
from streamlit.testing.v1 import AppTest

from pages.kit.person import COOKIE
from tests.pages.generator import BROWSER, open_generator


@pytest.fixture(autouse=True)
def fresh_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No studio and no jobs of another test, and no loading behind a page that would outlive its test."""
    monkeypatch.setattr("pages.kit.services.PRELOAD_AFTER_S", 3_600.0)
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture(autouse=True)
def cookies(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The cookies of the browser in which the tests open pages; with others it is another person's."""
    kept = {COOKIE: BROWSER}
    monkeypatch.setattr(ContextProxy, "cookies", kept)
    return kept


@pytest.fixture
def output_dir(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An OUTPUT_DIR of this test with the tiny checkpoint linked into it."""
    (tmp_path / "checkpoints").symlink_to(tiny_checkpoint / "checkpoints")
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def app(output_dir: Path) -> AppTest:
    """The studio, opened at the Generator."""
    return open_generator()
