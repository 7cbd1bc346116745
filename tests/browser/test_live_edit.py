"""Live and Edit in a real browser: the picture follows what is typed; a finding is put in; a strip is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image as PILImage

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ATTEMPTS, PAUSE_MS = 2_400, 250


def _button(page: sync_api.Page, key: str) -> sync_api.Locator:
    return page.locator(f".st-key-{key}").get_by_role("button")


def _await_other(page: sync_api.Page, before: str) -> str:
    """The picture in the viewer, once it is another one."""
    canvas = page.locator("canvas").first  # in a shadow root
    for _ in range(ATTEMPTS):
        if (shown := str(canvas.evaluate("c => c.toDataURL()"))) != before:
            return shown
        page.wait_for_timeout(PAUSE_MS)
    pytest.fail("the picture stayed as it was")


def test_the_picture_follows_what_is_typed_and_the_seed(
    open_page: Callable[..., sync_api.Page], studio_url: str, screenshots: Path
) -> None:
    page = open_page(f"{studio_url}/live")
    _button(page, "live_png").wait_for()
    first = _await_other(page, "")
    page.get_by_label("Prompt", exact=True).press("End")
    page.get_by_label("Prompt", exact=True).press_sequentially(" with pneumonia", delay=20)  # no Enter, no blur
    second = _await_other(page, first)
    _button(page, "live_next").click()
    _await_other(page, second)
    page.screenshot(path=screenshots / "live.png")
    page.get_by_text("Between two", exact=True).click()
    _button(page, "live_strip").click()
    with page.expect_download() as waiting:
        _button(page, "live_strip_gif").click()
    with PILImage.open(waiting.value.path()) as picture:
        assert picture.format == "GIF" and picture.n_frames > 2
    page.screenshot(path=screenshots / "live_between_two.png", full_page=True)


def test_an_edit_shows_before_after_and_the_difference(
    open_page: Callable[..., sync_api.Page], studio_url: str, screenshots: Path
) -> None:
    page = open_page(f"{studio_url}/edit", 400, 800)  # a phone
    page.get_by_label("After (prompt)", exact=True).fill("Chest X-ray with pneumonia")
    page.get_by_label("After (prompt)", exact=True).blur()
    _button(page, "edit").click()
    page.get_by_alt_text("Difference map").wait_for()
    with page.expect_download() as waiting:
        _button(page, "edit_png").click()
    with PILImage.open(waiting.value.path()) as picture:
        assert "Denoising strength" in picture.text["parameters"]
    page.screenshot(path=screenshots / "edit_phone.png", full_page=True)
