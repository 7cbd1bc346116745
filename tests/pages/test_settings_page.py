"""Settings and about: what is loaded and cleaned up, by whom; and what the product says of itself."""

from pathlib import Path

import pytest
from streamlit.runtime.context import ContextProxy
from streamlit.testing.v1 import AppTest

from pages.kit.services import studio
from tests.pages.generator import FRAME, TIMEOUT_S, click, own_folder, run, shown
from xray_generator import __version__
from xray_generator.types import PURPOSE


def open_settings() -> AppTest:
    page = run(AppTest.from_file(FRAME, default_timeout=TIMEOUT_S))
    page.switch_page("settings.py")
    return run(page)


def words(page: AppTest) -> str:
    return "\n".join([shown(page), *(element.value for element in page.markdown)]).replace("\\", "")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The browser is on the machine of the studio."""
    monkeypatch.setattr(ContextProxy, "ip_address", None)


def test_it_says_what_runs_and_whom_to_cite(output_dir: Path) -> None:
    page = open_settings()
    text = words(page)
    assert __version__ in text and any(device in text for device in ("cpu, ", "cuda, ")) and not page.error
    assert "None. A model is loaded" in text
    assert PURPOSE in text and "MIT license" in text and "# tiny" in text  # the card
    assert "cff-version" in page.code[0].value
    assert page.selectbox(key="checkpoint").value == "tiny"


def test_models_the_cache_and_own_deleted_images_are_cleaned_up(output_dir: Path) -> None:
    page = open_settings()
    buttons = [page.button(key=f"settings {name}") for name in ("Unload", "Empty", "Delete for good")]
    assert all(button.disabled for button in buttons)  # there is nothing
    studio().engine("tiny")
    cache, trash = output_dir / "cache" / "evaluation", own_folder(output_dir) / ".trash" / "1" / "own"
    for folder, size in ((cache, 2_000), (trash, 3_000)):
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(bytes(size))
    text = words(run(page))
    assert "64 px · tiny" in text
    assert "labeled sets, 2.0 KB" in text and "you deleted, 3.0 KB" in text
    for name in ("Unload", "Empty", "Delete for good"):
        click(page, f"settings {name}")
    assert not studio().loaded and not cache.exists() and not trash.exists() and not page.error


@pytest.mark.parametrize("away", [{"ip_address": "10.0.0.7"}, {"headers": {"X-Forwarded-For": "10.0.0.7"}}])
def test_others_see_what_is_shared_and_clean_what_is_theirs(
    output_dir: Path, monkeypatch: pytest.MonkeyPatch, away: dict[str, object]
) -> None:
    for name, value in away.items():
        monkeypatch.setattr(ContextProxy, name, value)
    studio().engine("tiny")
    cache, trash = output_dir / "cache", own_folder(output_dir) / ".trash" / "1" / "own"
    for folder in (cache, trash):
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(bytes(2_000))
    page = open_settings()
    assert page.button(key="settings Unload").disabled and page.button(key="settings Empty").disabled
    assert "only who sits at its machine" in words(page)
    click(page, "settings Delete for good")
    assert studio().loaded and (cache / "a.png").is_file() and not trash.exists()
