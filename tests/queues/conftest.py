"""A real Redis on a free port, and workers as people start them."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis, RedisError

from xray_generator.jobs import JobQueue
from xray_generator.queues.choice import open_queue
from xray_generator.queues.connection import connect
from xray_generator.studio import Studio
from xray_generator.types import StudioError

ROOT = Path(__file__).parents[2]
PROMPT = "Normal chest X-ray, PA view"

StartWorker = Callable[[], tuple[subprocess.Popen[str], Path]]


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis that keeps nothing on disk."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no redis-server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    options = ["--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", str(tmp_path_factory.mktemp("redis"))]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as server:
        url = f"redis://127.0.0.1:{port}/0"
        try:
            until(lambda: answers(url))
            yield url
        finally:
            server.kill()


def answers(url: str) -> bool:
    """Whether the server answers by now."""
    try:
        return bool(connect(url).ping())
    except (StudioError, RedisError):
        return False


@pytest.fixture
def client(redis_url: str) -> Redis:
    """A client of the Redis, which is empty."""
    client = connect(redis_url)
    client.flushall()
    return client


@pytest.fixture
def studio(tiny_checkpoint: Path, tmp_path: Path) -> Studio:
    """A studio of its own folder, with the tiny checkpoint."""
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "checkpoints").symlink_to(tiny_checkpoint / "checkpoints")
    return Studio(tmp_path / "outputs", "cpu")


@pytest.fixture
def queue(redis_url: str, client: Redis, studio: Studio) -> Iterator[JobQueue]:
    """The queue of a server at the broker, which leaves it to the next test."""
    queue = open_queue(studio, redis_url)
    assert queue._store is not None
    yield queue
    queue._store.close()


@pytest.fixture
def start_worker(redis_url: str, client: Redis, studio: Studio, tmp_path: Path) -> Iterator[StartWorker]:
    """Starts a worker process, and gives it with its log; those that are left end with the test."""
    running: list[subprocess.Popen[str]] = []

    def start() -> tuple[subprocess.Popen[str], Path]:
        log = tmp_path / f"worker{len(running)}.log"
        command = [sys.executable, "-m", "xray_generator.worker", "--device", "cpu", "--lost_after", "2"]
        environment = {**os.environ, "OUTPUT_DIR": str(studio.output_dir), "STUDIO_BROKER": redis_url}
        with log.open("w") as file:
            running.append(
                subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=file, text=True)
            )
        return running[-1], log

    yield start
    for process in running:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def until(condition: Callable[[], object]) -> None:
    """Wait for what must come."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
