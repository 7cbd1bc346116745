"""The Super-resolution lab without a browser, over a real small upscaler and a real small cascade."""

import shutil
import time
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.kit.services import job_queue
from tests.families.tiny import trained
from tests.pages.generator import TIMEOUT_S, run, shown, viewers

PAGE = Path(__file__).parents[2] / "pages" / "create" / "enlarge.py"


@pytest.fixture
def output_dir(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An OUTPUT_DIR of this test with an upscaler to 64 and 96 pixels, and a cascade of 16 and 32."""
    for family in ("super_resolution", "cascade"):
        source = trained(family, tmp_path_factory.getbasetemp()).options.checkpoint
        shutil.copytree(source, tmp_path / "checkpoints" / family / "small")
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    monkeypatch.setenv("DATASET_PATH", str(Path(__file__).parents[2] / "dataset"))
    st.cache_data.clear()
    return tmp_path


def open_page(model: str) -> AppTest:
    app = run(AppTest.from_file(PAGE, default_timeout=TIMEOUT_S))
    app.selectbox(key="enlarge_model").select(f"{model}/small")
    return run(app)


def enlarge(app: AppTest, state: str = "done") -> None:
    """Press the button, wait until the job ends in a state, and run once more."""
    app.button(key="enlarge_start").click()
    app.run()
    job = list(job_queue()._jobs.values())[-1]
    deadline = time.monotonic() + TIMEOUT_S
    while not job.is_over and time.monotonic() < deadline:
        time.sleep(0.02)
    assert job.state == state, job.error
    run(app)


def test_every_way_stands_beside_the_original_and_is_measured(output_dir: Path) -> None:
    app = open_page("super_resolution")
    assert app.session_state["enlarge_source"] == "Dataset"
    enlarge(app)
    (viewer,) = viewers(app)
    images = [pane["label"] for pane in viewer["panes"]]
    assert images == ["nearest", "bilinear", "bicubic", "lanczos", "model, 1 step", "model, 4 steps", "original"]
    (table,) = app.dataframe
    assert list(table.value["Method"]) == images[:-1]
    assert {"PSNR (dB)", "SSIM", "FSIM", "VIF", "DSSIM"} <= set(table.value.columns)
    psnr = dict(zip(table.value["Method"], table.value["PSNR (dB)"], strict=True))
    assert psnr["nearest"] < psnr["bicubic"]
    assert "From 48 x 48 to 96 x 96 pixels" in shown(app).replace("\\", "")
    assert len(app.download_button) == len(images) + 1


def test_an_image_that_is_too_large_is_refused_in_words(output_dir: Path) -> None:
    app = open_page("super_resolution")
    app.segmented_control(key="enlarge_way").set_value(False)
    run(app)
    enlarge(app, "failed")  # the films of the sample are larger than 96 pixels
    assert "An image of 256 pixels can be enlarged to" in app.error[0].value.replace("\\", "")


def test_a_cascade_is_offered_by_its_stages(output_dir: Path) -> None:
    app = open_page("cascade")
    assert len(app.selectbox(key="enlarge_model").options) == 2
    sizes = [control for control in app.get("button_group") if "enlarge_size" in str(control.key)]
    assert [option.content for option in sizes[0].proto.options] == ["32"]
    enlarge(app)
    assert "From 16 x 16 to 32 x 32 pixels" in shown(app).replace("\\", "")


def test_without_a_model_the_page_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    app = run(AppTest.from_file(PAGE, default_timeout=TIMEOUT_S))
    assert "No checkpoint here enlarges images" in app.error[0].value
