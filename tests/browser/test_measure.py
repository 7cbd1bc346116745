"""The first pages and those that explore and measure, over what ships: every tab at a laptop's and a phone's size."""

from __future__ import annotations

import io
import zipfile
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


def test_a_zip_of_class_folders_is_read_checked_and_can_be_trained_on(
    open_page: Callable[..., sync_api.Page], studio_url: str, screenshots: Path
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for index, path in enumerate(sorted((SHIPPED.parent / "dataset" / "images").iterdir())[:8]):
            archive.write(path, f"mine/{('ill', 'well')[index % 2]}/{path.name}")
        archive.write(path, "mine/well/copy.jpg")
    page = open_page(f"{studio_url}/dataset", *WINDOWS["phone"])
    page.get_by_text("Your upload", exact=True).click()
    file = {"name": "mine.zip", "mimeType": "application/zip", "buffer": buffer.getvalue()}
    page.locator(".st-key-dataset_files input[type=file]").set_input_files(file)
    page.get_by_text("9 images of 2 classes: Ill, Well").wait_for()
    page.get_by_role("tab", name="Health").click()
    page.get_by_text("1 issue in 9 images").wait_for()
    page.screenshot(path=screenshots / "dataset_health_phone.png")
    page.get_by_role("tab", name="Train on it").click()
    page.get_by_text("--dataset_path FOLDER").first.wait_for()
    page.screenshot(path=screenshots / "dataset_train_phone.png")


def test_a_likelihood_is_canceled(open_page: Callable[..., sync_api.Page], studio_url: str) -> None:
    page = open_page(f"{studio_url}/likelihood")
    page.get_by_text("Dataset", exact=True).click()
    page.get_by_text("Exact (adaptive, slow)", exact=True).click()
    score = page.locator(".st-key-likelihood_score").get_by_role("button")
    sync_api.expect(score).to_be_enabled()
    score.click()
    page.get_by_text("Running. ").wait_for()
    page.keyboard.press("Escape")
    page.get_by_text("Canceled").wait_for()
    sync_api.expect(score).to_be_enabled()


def _settle(page: sync_api.Page) -> None:
    """Wait until the script has run and nothing spins."""
    page.wait_for_timeout(500)
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    sync_api.expect(page.get_by_test_id("stSpinner")).to_have_count(0)
