"""The Latent space page without a browser, over a real small model of three classes."""

# ruff: noqa: F811 - fixtures of the family, by import
import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image as PILImage
from streamlit.testing.v1 import AppTest

from pages.kit.services import job_queue, studio
from tests.families.cvae.conftest import cells, cells_folder, small_config, straight  # noqa: F401
from tests.pages.generator import FRAME, TIMEOUT_S, run, shown, viewers
from xray_generator.jobs import Job

PAGE = Path(__file__).parents[2] / "pages" / "create" / "latent.py"


@pytest.fixture
def output_dir(straight: Path, cells_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An OUTPUT_DIR of this test with the small checkpoint, and its dataset as that of the server."""
    (tmp_path / "checkpoints").symlink_to(straight / "checkpoints")
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    monkeypatch.setenv("DATASET_PATH", str(cells_folder))
    st.cache_data.clear()
    return tmp_path


def open_tab(name: str) -> AppTest:
    app = AppTest.from_file(PAGE, default_timeout=TIMEOUT_S)
    app.session_state["latent_tab"] = name
    return run(app)


def finish(app: AppTest, key: str) -> Job:
    """Press a button and wait for the job that it asks for, then run once more."""
    before = set(job_queue()._jobs)
    app.button(key=key).click()
    app.run()
    job = next(job for name, job in reversed(job_queue()._jobs.items()) if name not in before)
    settle(app, job)
    assert job.state == "done", job.error
    return job


def settle(app: AppTest, job: Job) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not job.is_over and time.monotonic() < deadline:
        time.sleep(0.02)
    assert job.is_over
    run(app)
    assert not app.error


def words(app: AppTest) -> str:
    return shown(app).replace("\\", "")


def png(size: tuple[int, int] = (70, 50)) -> bytes:
    buffer = io.BytesIO()
    PILImage.fromarray(np.random.default_rng(0).integers(0, 255, size, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def downloads(app: AppTest) -> list[str]:
    return [button.label for button in app.download_button]


def traces(app: AppTest) -> dict[str, dict]:
    (chart,) = app.get("plotly_chart")
    return {trace["name"]: trace for trace in json.loads(chart.proto.spec)["data"]}


def test_traverse_draws_a_strip_and_keeps_the_directions(output_dir: Path) -> None:
    app = open_tab("Traverse")
    assert {"Class", "Direction"} <= {group.label for group in app.button_group}
    found = finish(app, "latent_travel").result
    assert downloads(app) == ["Strip PNG", "GIF"] and "7 synthetic images" in words(app)
    (cine,) = viewers(app)
    assert len(cine["panes"][0]["frames"]) == len(found.images) == len(cine["names"])
    assert cine["names"][cine["first"]] == "the image itself" and cine["names"][-1] == "+3 standard deviations"
    app.segmented_control(key="latent_direction").set_value(2)
    run(app)
    assert not downloads(app)  # another direction: nothing is drawn for it yet
    other = finish(app, "latent_travel").result
    assert other.index == 2 and other.directions is found.directions


def test_between_two_classes_of_one_seed(output_dir: Path) -> None:
    app = open_tab("Between two")
    settle(app, job_queue().get(app.session_state["latent_job"]))
    assert "Drawn by small in" in words(app) and downloads(app) == ["PNG"]
    assert not [button for button in app.button if button.key.startswith("live_")]
    results = finish(app, "latent_strip").result
    assert len(viewers(app)[1]["names"]) == 7
    assert [result.request.condition.label for result in (results[0], results[-1])] == ["disc", "ring"]
    assert results[0].request.seed == results[-1].request.seed and len(results) == 7
    assert downloads(app) == ["PNG", "Strip PNG", "GIF"]
    assert "A: Disc, seed 0. B: Ring, seed 0." in words(app)


def test_an_upload_is_reconstructed_and_lies_on_the_map(output_dir: Path) -> None:
    app = open_tab("Reconstruct")
    assert app.button(key="latent_reconstruct").disabled
    app.file_uploader(key="latent_image_upload").upload("a.png", png(), "image/png").run()
    found = finish(app, "latent_reconstruct").result
    assert found.original.shape == (64, 64) and set(found.others) == {"ring", "stripes"}
    assert [metric.label for metric in app.metric] and downloads(app) == ["Row PNG"]
    assert "Synthetic, as Ring" in words(app)
    app.session_state["latent_tab"] = "Map"
    run(app)
    assert "never shown" in words(app)
    finish(app, "latent_map")
    assert set(traces(app)) == {"Disc", "Ring", "Stripes", "your image, as Disc"}
    app.toggle(key="latent_map_own").set_value(False)
    run(app)
    assert set(traces(app)) == {"Disc", "Ring", "Stripes"} and downloads(app) == ["Points CSV"]


def test_a_training_image_is_reconstructed_and_never_on_the_map(output_dir: Path, cells_folder: Path) -> None:
    app = open_tab("Reconstruct")
    app.segmented_control(key="latent_image_source").set_value("Dataset")
    run(app)
    assert app.button(key="latent_reconstruct").disabled  # no dataset is chosen
    app.selectbox(key="latent_folder").set_value(cells_folder)
    run(app)
    finish(app, "latent_reconstruct")
    assert "latent_placed" not in app.session_state
    app.session_state["latent_tab"] = "Map"
    run(app)
    assert not [toggle for toggle in app.toggle if toggle.key == "latent_map_own"]


def test_a_damaged_upload_is_said(output_dir: Path) -> None:
    app = open_tab("Reconstruct")
    app.file_uploader(key="latent_image_upload").upload("a.png", b"no image", "image/png").run()
    assert not app.exception and "not an image" in app.error[0].value


def test_sizes_are_compared_with_training_images(output_dir: Path, cells_folder: Path) -> None:
    app = open_tab("Compare sizes")
    finish(app, "latent_compare")
    assert "No training image of class Disc" in words(app) and "small, 64 x 64 pixels, seeds 0 to 3" in words(app)
    app.selectbox(key="latent_compare_folder").set_value(cells_folder)
    run(app)
    finish(app, "latent_compare")
    assert "4 images of the training split, fitted to 64 pixels" in words(app) and "CC0" in words(app)
    assert [text.value for text in app.markdown] == ["**Dataset**", "**Synthetic\\, 64 x 64**"]
    assert downloads(app) == ["Sheet PNG"]


def test_the_page_stands_in_the_navigation(output_dir: Path) -> None:
    app = run(AppTest.from_file(FRAME, default_timeout=TIMEOUT_S))
    app.switch_page("create/latent.py")
    assert run(app).title[0].value == "Latent space" and not app.error


def test_without_such_a_checkpoint_the_page_says_so(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tiny_checkpoint))
    app = open_tab("Traverse")
    assert "No checkpoint here has latents to explore" in app.error[0].value
    assert studio().checkpoints()
