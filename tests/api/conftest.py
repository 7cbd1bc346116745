"""The API over a studio with the tiny checkpoint; a queue whose work waits at a gate, or that draws."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from xray_generator.api.app import create_app
from xray_generator.api.tokens import Tokens, read_tokens
from xray_generator.jobs import JobQueue, Work
from xray_generator.orders import DrawOrder
from xray_generator.studio import Studio

HERE = "http://127.0.0.1:8000"  # as whom a loopback server is asked
ANNA, BEN = "anna-has-a-long-token", "ben-has-another-token"
TOKENS = read_tokens(f"anna:{ANNA} ben:{BEN}")

Open = Callable[..., TestClient]


@pytest.fixture
def studio(tiny_checkpoint: Path, tmp_path: Path) -> Studio:
    """A studio of its own folder, with the tiny checkpoint."""
    shutil.copytree(tiny_checkpoint / "checkpoints", tmp_path / "outputs" / "checkpoints")
    return Studio(tmp_path / "outputs", "cpu")


@pytest.fixture
def held_queue() -> Iterator[JobQueue]:
    """A queue whose jobs wait until the test is over."""
    gate = threading.Event()

    def carry_out(_order: DrawOrder) -> Work:
        return lambda _on_step: gate.wait(60) and None

    yield JobQueue(carry_out=carry_out)
    gate.set()


@pytest.fixture
def connect(studio: Studio, held_queue: JobQueue) -> Open:
    """Makes a client of the API over the held queue; with a token, of a server that asks for tokens."""

    def make(token: str = "", *, tokens: Tokens | None = None, **options: bool) -> TestClient:
        asked = tokens or (TOKENS if token else Tokens())
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return TestClient(create_app(studio, held_queue, asked, **options), HERE, headers=headers)

    return make
