"""Lung CT in a real browser: draw a slice, look through another window, see its way from noise, take its DICOM."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pydicom
import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


@pytest.fixture(scope="module")
def studio_url(
    tiny_ct_checkpoint: Path,
    tmp_path_factory: pytest.TempPathFactory,
    serve: Callable[[Path, Path], AbstractContextManager[str]],
) -> Iterator[str]:
    """A running studio over a copy of the tiny CT checkpoint."""
    output_dir = tmp_path_factory.mktemp("browser_ct")
    shutil.copytree(tiny_ct_checkpoint / "checkpoints", output_dir / "checkpoints")
    with serve(output_dir, output_dir / "server.log") as url:
        yield url


def test_a_slice_is_drawn_windowed_traced_scored_and_downloaded(
    open_page: Callable[..., sync_api.Page], studio_url: str, screenshots: Path
) -> None:
    page = open_page(f"{studio_url}/generate")
    page.get_by_role("radio", name="Normal").or_(page.get_by_role("button", name="Normal")).first.click()
    _button(page, "generate").click()
    _button(page, "download DICOM").wait_for()
    readout = page.locator("output")
    sync_api.expect(readout).to_have_text("W 1500  L -600 HU  100 %")
    page.screenshot(path=screenshots / "ct_result.png")

    page.get_by_role("radio", name="mediastinum").or_(page.get_by_role("button", name="mediastinum")).first.click()
    sync_api.expect(readout).to_have_text("W 400  L 40 HU  100 %")
    page.get_by_text("were cut off in the training data").wait_for()
    box = page.locator("canvas").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 49, box["y"] + 100, steps=3)  # 51 of 255 to the left: a fifth of the width
    page.mouse.up()
    sync_api.expect(readout).to_have_text("W 320  L 40 HU  100 %")
    page.screenshot(path=screenshots / "ct_mediastinum.png")

    page.get_by_text("From noise to image").click()
    _button(page, "path_start").click()
    _button(page, "path_gif").wait_for()
    page.get_by_text("sigma = 0.50").wait_for()
    page.locator(".st-key-path_intensities .plot-container").wait_for()
    page.screenshot(path=screenshots / "ct_way.png", full_page=True)

    with page.expect_download() as waiting:
        _button(page, "download DICOM").click()
    assert waiting.value.suggested_filename.endswith(".dcm")
    file = pydicom.dcmread(io.BytesIO(waiting.value.path().read_bytes()))
    assert file.SyntheticData == "YES" and (file.WindowCenter, file.WindowWidth) == (-600, 1500)

    page.get_by_test_id("stTopNavSection").filter(has_text="Measure").click()
    page.get_by_test_id("stTopNavDropdownLink").filter(has_text="Likelihood").click()
    _button(page, "likelihood_score").click()
    page.get_by_text("Latent noise", exact=True).first.wait_for()
    page.locator(".st-key-likelihood_noise .plot-container").wait_for()
    page.screenshot(path=screenshots / "ct_likelihood.png", full_page=True)


def _button(page: sync_api.Page, key: str) -> sync_api.Locator:
    """The button of a key, by its role: one with a tooltip stands twice in the document, once hidden."""
    return page.locator(f".st-key-{key.replace(' ', '-')}").get_by_role("button")
