"""The main journeys in a real browser: deep link, home, generate, cancel, download, change page and come back."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from xray_generator.types import PRODUCT

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

WINDOW_HEIGHT = 900


@pytest.fixture
def page(open_page: Callable[..., sync_api.Page], studio_url: str) -> sync_api.Page:
    """The generator, freshly opened."""
    page = open_page(f"{studio_url}/generate")
    _button(page, "generate").wait_for()
    return page


def _button(page: sync_api.Page, key: str) -> sync_api.Locator:
    """The button of a key, by its role: one with a tooltip stands twice in the document, once hidden."""
    return page.locator(f".st-key-{key.replace(' ', '-')}").get_by_role("button")


def _set_number(page: sync_api.Page, label: str, value: str) -> None:
    box = page.get_by_label(label, exact=True)
    box.fill(value)
    box.press("Enter")


def _open_advanced(page: sync_api.Page) -> None:
    page.get_by_text("Advanced", exact=True).click()
    page.get_by_label("Steps", exact=True).wait_for()


def _generate(page: sync_api.Page) -> None:
    _button(page, "generate").click()
    _button(page, "download Raw PNG").or_(page.get_by_test_id("stException")).wait_for()


def _settle(page: sync_api.Page) -> None:
    """Wait until the script has run."""
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    page.wait_for_timeout(300)


def _await_paint(page: sync_api.Page) -> None:
    """Wait until the viewer's first canvas holds more than one gray level."""
    canvas = page.locator("canvas").first.element_handle()
    page.wait_for_function(
        "c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        " return new Set(d.filter((_, i) => i % 4 === 0)).size > 1 }",
        arg=canvas,
    )


def _fits(page: sync_api.Page, key: str) -> bool:
    """Whether a button can be seen without scrolling."""
    box = _button(page, key).bounding_box()
    return box is not None and box["y"] + box["height"] <= WINDOW_HEIGHT


def test_a_deep_link_may_be_the_first_visit(open_page: Callable[..., sync_api.Page], studio_url: str) -> None:
    """First in this file: only a server that has not yet run `st.navigation` could fail it."""
    page = open_page(f"{studio_url}/enhancement")
    page.get_by_role("heading", name="Enhancement comparison").wait_for()
    _settle(page)
    assert not page.get_by_role("dialog").count(), page.get_by_role("dialog").inner_text()


def test_home_leads_to_a_first_image_right_below_the_button_on_a_phone(
    open_page: Callable[..., sync_api.Page], studio_url: str, screenshots: Path
) -> None:
    page = open_page(studio_url, 390, 844, has_touch=True)
    page.get_by_role("heading", name=PRODUCT, exact=True).wait_for()
    _settle(page)
    page.screenshot(path=screenshots / "home_phone.png", full_page=True)
    _button(page, "draw tiny").click()
    _button(page, "download Raw PNG").wait_for()
    page.screenshot(path=screenshots / "generator_phone.png", full_page=True)
    assert page.url.endswith("/generate") and not page.get_by_label("Steps", exact=True).is_visible()
    button, canvas = _button(page, "generate").bounding_box(), page.locator("canvas").first.bounding_box()
    assert button is not None and canvas is not None
    assert 0 < canvas["y"] - button["y"] < 400

    page.locator("button[data-do=length]").tap()
    _move_fingers(page, [(-50, 0)], [(50, 0)])
    page.get_by_text(re.compile(r"^Length: [\d.]+ pixels$")).wait_for()
    _move_fingers(page, [(-30, 0), (30, 0)], [(-60, 0), (60, 0)])
    sync_api.expect(page.locator("output")).to_have_text("W 255  L 128  200 %")
    page.screenshot(path=screenshots / "viewer_phone.png")


def _move_fingers(page: sync_api.Page, start: list[tuple[int, int]], end: list[tuple[int, int]]) -> None:
    """Put fingers on the viewer's first canvas, move each from and to a place seen from its center, lift them."""
    canvas = page.locator("canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)
    for kind, places in (("touchStart", start), ("touchMove", end), ("touchEnd", [])):
        points = [{"x": x + dx, "y": y + dy, "id": index} for index, (dx, dy) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def test_first_view_and_an_unseen_word(page: sync_api.Page, screenshots: Path) -> None:
    _settle(page)
    page.screenshot(path=screenshots / "generator_empty.png")
    assert page.get_by_text("Not for diagnosis").is_visible()
    assert _fits(page, "generate")
    page.get_by_label("Prompt", exact=True).fill("Chest X-ray of a zebra")
    page.get_by_label("Prompt", exact=True).blur()
    page.get_by_role("alert").filter(has_text="zebra").wait_for()
    page.screenshot(path=screenshots / "generator_unseen_word.png")


def test_builder_and_card_open(page: sync_api.Page, screenshots: Path) -> None:
    _button(page, "card").click()
    page.get_by_test_id("stDataFrame").first.wait_for()
    _settle(page)
    page.screenshot(path=screenshots / "generator_card.png")
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.get_by_role("button", name="Build a prompt").click()
    _button(page, "build_use").wait_for()
    page.screenshot(path=screenshots / "generator_builder.png")
    _button(page, "build_use").click()


def _choose(page: sync_api.Page, label: str, option: str) -> None:
    """Choose in a list, which is opened again where the page ran meanwhile and closed it."""
    wanted = page.get_by_role("option", name=option)
    while not wanted.is_visible():
        page.get_by_label(label, exact=True).click()
        page.wait_for_timeout(500)
    wanted.click()


def test_generate_enhance_and_window(page: sync_api.Page, screenshots: Path) -> None:
    _generate(page)
    _open_advanced(page)
    _choose(page, "Enhancement", "Balanced")
    _button(page, "download Enhanced PNG").wait_for()
    sync_api.expect(page.locator("canvas")).to_have_count(2)
    sync_api.expect(page.get_by_text("Synthetic", exact=True)).to_have_count(2)
    _await_paint(page)
    assert _fits(page, "download all")
    page.screenshot(path=screenshots / "generator_result.png")

    readout = page.locator("output")
    before = readout.inner_text()
    box = page.locator("canvas").first.bounding_box()
    assert box is not None
    x, y = box["x"] + 100, box["y"] + 100
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 80, y + 20, steps=4)
    page.mouse.up()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    sync_api.expect(readout).not_to_have_text(before)
    page.screenshot(path=screenshots / "generator_window_level.png")
    page.locator("button[data-do=reset]").click()
    sync_api.expect(readout).to_have_text(before)


def test_ctrl_enter_generates_and_downloads_hold_the_recipe(page: sync_api.Page) -> None:
    from xray_generator.export.recipe import read_recipe

    page.get_by_label("Prompt", exact=True).fill("Normal chest radiograph of nobody at all")
    page.get_by_label("Prompt", exact=True).press("Control+Enter")
    with page.expect_download() as waiting:
        _button(page, "download Raw PNG").click()
    recipe = read_recipe(waiting.value.path().read_bytes())
    assert recipe.synthetic and recipe.request.condition.text == "Normal chest radiograph of nobody at all"
    assert page.get_by_text(str(recipe.request.seed), exact=True).is_visible()

    with page.expect_download() as waiting:
        _button(page, "download all").click()
    archive = zipfile.ZipFile(io.BytesIO(waiting.value.path().read_bytes()))
    images = [name for name in archive.namelist() if name.endswith(".png")]
    assert [read_recipe(archive.read(name)) for name in images] == [recipe]
    assert _button(page, "download Raw PNG").is_visible()


def test_progress_and_cancel(page: sync_api.Page, screenshots: Path) -> None:
    _open_advanced(page)
    _set_number(page, "Steps", "1000")
    _set_number(page, "Images", "64")
    _button(page, "generate").click()
    page.get_by_text(re.compile(r"Image \d+ of 64, step .* left$")).wait_for()
    page.get_by_alt_text("Live preview").wait_for()
    page.screenshot(path=screenshots / "generator_progress.png")
    page.keyboard.press("Escape")
    page.get_by_text("Canceled at step").wait_for()
    sync_api.expect(_button(page, "generate")).to_be_enabled()
    page.screenshot(path=screenshots / "generator_canceled.png")


def test_what_is_finished_stays_on_cancel_and_reload_and_requests_wait_in_line(
    page: sync_api.Page, screenshots: Path
) -> None:
    _open_advanced(page)
    _set_number(page, "Steps", "250")
    _set_number(page, "Images", "64")
    _button(page, "generate").click()
    page.get_by_text(re.compile(r"Image \d+ of 64")).wait_for()
    _set_number(page, "Images", "1")
    for words in ("Waiting. Next in line", "Waiting. 2 jobs ahead"):
        _button(page, "generate").click()
        page.get_by_text(words).wait_for()
    page.screenshot(path=screenshots / "generator_line.png")
    page.get_by_text(re.compile(r"Image ([3-9]|\d\d) of 64")).wait_for()
    page.keyboard.press("Escape")
    sync_api.expect(page.get_by_role("progressbar")).to_have_count(0)
    page.reload()
    _button(page, "download Raw PNG").wait_for()
    sync_api.expect(page.get_by_label("Images", exact=True)).to_have_value("1")
    page.get_by_label("Your latest results").click()
    results = page.get_by_role("option")
    sync_api.expect(results.filter(has_text=re.compile(r"· [2-9] images ·|· \d\d images ·"))).not_to_have_count(0)
    assert results.filter(has_text="· 1 image ·").count() >= 2
    page.screenshot(path=screenshots / "generator_after_reload.png")


def test_page_change_keeps_result_and_form(page: sync_api.Page, screenshots: Path) -> None:
    _set_number(page, "Images", "3")
    _generate(page)
    _button(page, "image 1").click()
    sync_api.expect(_button(page, "image 1")).to_have_attribute("kind", "primary")
    assert _fits(page, "image 1")
    page.screenshot(path=screenshots / "generator_three_images.png")
    page.get_by_text("Play as cine", exact=True).click()
    page.get_by_text("files below are those of image 2").wait_for()
    frame = page.locator(".cine:visible .frame")
    sync_api.expect(frame).to_have_text(re.compile("^Image 2, seed "))
    page.locator("button[data-do=play]:visible").click()
    sync_api.expect(frame).to_have_text(re.compile("^Image 1, seed "))
    page.screenshot(path=screenshots / "generator_cine.png")
    page.get_by_text("Play as cine", exact=True).click()
    sync_api.expect(page.locator("button[data-do=play]:visible")).to_have_count(0)
    _open(page, "Enhancement comparison")
    page.locator("figcaption").filter(has_text="Radiographic Film").wait_for()
    _settle(page)
    page.screenshot(path=screenshots / "enhancement.png", full_page=True)
    assert page.get_by_text("Not for diagnosis").is_visible()
    _open(page, "Generator")
    _button(page, "download Raw PNG").wait_for()
    sync_api.expect(page.get_by_label("Images", exact=True)).to_have_value("3")
    _await_paint(page)


def _open(page: sync_api.Page, title: str) -> None:
    """Choose a page of the first section, Create, of the navigation at the top."""
    page.get_by_test_id("stTopNavSection").first.click()
    page.get_by_test_id("stTopNavDropdownLink").filter(has_text=title).click()
