"""The first pages and those that explore and measure, over what ships: every tab at a laptop's and a phone's size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from xray_generator.types import PRODUCT

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

SHIPPED = Path(__file__).parents[2] / "outputs"
PAGES = {
    "": PRODUCT,
    "generate": "Generator",
    "dataset": "Dataset explorer",
    "model_analysis": "Model analysis",
    "metrics": "Metrics",
    "research": "Research dashboard",
    "evaluation": "Evaluation",
}
WINDOWS = {"laptop": (1440, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def studio_url(
    tmp_path_factory: pytest.TempPathFactory, serve: Callable[[Path, Path], AbstractContextManager[str]]
) -> Iterator[str]:
    """A running studio over the outputs that ship, which it reads and never writes to."""
    output_dir = tmp_path_factory.mktemp("measure")
    for name in ("checkpoints", "encoders", "metrics", "samples", "visualizations"):
        (output_dir / name).symlink_to(SHIPPED / name)
    with serve(output_dir, output_dir / "server.log") as url:
        yield url


@pytest.mark.parametrize("path", PAGES)
def test_every_tab_is_drawn_and_fits(
    path: str, open_page: Callable[..., sync_api.Page], studio_url: str, screenshots: Path
) -> None:
    page = open_page(f"{studio_url}/{path}", *WINDOWS["laptop"])
    page.get_by_role("heading", name=PAGES[path], exact=True).wait_for()
    _settle(page)
    tabs = page.get_by_test_id("stMain").get_by_role("tab")
    for number in range(max(tabs.count(), 1)):
        for window, (width, height) in WINDOWS.items():
            page.set_viewport_size({"width": width, "height": height})
            if tabs.count() and window == "laptop":
                tabs.nth(number).click()
            _settle(page)
            wide = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
            page.screenshot(path=screenshots / f"{path}_{window}_{number}.png")
            assert wide <= width, f"the page is wider than the window of a {window}"
        assert not page.get_by_test_id("stException").count()
        assert not page.get_by_test_id("stAlertContentError").all_inner_texts()


def _settle(page: sync_api.Page) -> None:
    """Wait until the script has run and nothing spins."""
    page.wait_for_timeout(500)
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    sync_api.expect(page.get_by_test_id("stSpinner")).to_have_count(0)
