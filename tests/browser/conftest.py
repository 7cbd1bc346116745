"""A running studio and a headless Chromium, shared by the journeys.

Screenshots go to the folder of STUDIO_SCREENSHOTS (default: a temporary one). No request may leave this machine.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).parents[2]
SLOW_MS = 600_000  # ends what hangs, and judges no speed: other work may hold the machine

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
sync_api.expect.set_options(timeout=SLOW_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder drive a browser."""
    missing = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is missing: apt-get install chromium")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for mark in (pytest.mark.browser, pytest.mark.timeout(3_600), missing):
                item.add_marker(mark)


@contextmanager
def _serve(output_dir: Path, log_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = log_path.open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "app.py", "--server.address=127.0.0.1", f"--server.port={port}"],
        cwd=ROOT,
        env={**os.environ, "OUTPUT_DIR": str(output_dir)},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        _await_health(f"http://127.0.0.1:{port}", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def _await_health(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SLOW_MS / 1_000
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=5)
            return
        except OSError:
            time.sleep(0.3)
    pytest.fail("the studio's server did not start")


@pytest.fixture(scope="session")
def serve() -> Callable[[Path, Path], AbstractContextManager[str]]:
    """Run a studio over an OUTPUT_DIR, with its log in a file: the context gives its address."""
    return _serve


@pytest.fixture(scope="module")
def studio_url(
    tiny_checkpoint: Path,
    tmp_path_factory: pytest.TempPathFactory,
    serve: Callable[[Path, Path], AbstractContextManager[str]],
) -> Iterator[str]:
    """A running studio over a copy of the tiny checkpoint."""
    output_dir = tmp_path_factory.mktemp("browser")
    shutil.copytree(tiny_checkpoint / "checkpoints", output_dir / "checkpoints")
    with serve(output_dir, output_dir / "server.log") as url:
        yield url


@pytest.fixture(scope="session")
def browser() -> "Iterator[sync_api.Browser]":
    """Headless Chromium."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the pages go."""
    folder = Path(os.environ.get("STUDIO_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


Open = Callable[..., "sync_api.Page"]


@pytest.fixture
def open_page(browser: "sync_api.Browser", screenshots: Path) -> "Iterator[Open]":
    """Open an address in a window of some size; fails where anything outside this machine was asked for or raised."""
    outside: list[str] = []
    pages: list[sync_api.Page] = []

    def opened(url: str, width: int = 1440, height: int = 900, *, has_touch: bool = False) -> "sync_api.Page":
        root = "/".join(url.split("/")[:3])
        page = browser.new_page(viewport={"width": width, "height": height}, has_touch=has_touch, is_mobile=has_touch)
        page.set_default_timeout(SLOW_MS)
        page.on("request", lambda request: None if _is_local(request.url, root) else outside.append(request.url))
        page.goto(url)
        pages.append(page)
        return page

    yield opened
    exceptions = [text for page in pages for text in page.get_by_test_id("stException").all_inner_texts()]
    for page in pages:
        page.screenshot(path=screenshots / "last.png")  # what a failed test ended with
        page.close()
    assert not outside
    assert not exceptions


def _is_local(url: str, root: str) -> bool:
    return url.startswith((f"{root}/", "data:", "blob:"))
