"""The Super-resolution lab without a browser, over a real small upscaler and a real small cascade."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.kit.services import find_dataset_for, job_queue, studio
from tests.families.tiny import trained
from tests.pages.generator import TIMEOUT_S, own_folder, run, shown, viewers
from xray_generator.checkpoints import read_manifest, write_manifest
from xray_generator.export.pictures import pictures
from xray_generator.requests import make_request, read_condition

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "pages" / "create" / "enlarge.py"


@pytest.fixture
def output_dir(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An OUTPUT_DIR of this test with an upscaler to 64 and 96 pixels, and a cascade of 16 and 32."""
    for family in ("super_resolution", "cascade"):
        source = trained(family, tmp_path_factory.getbasetemp()).options.checkpoint
        shutil.copytree(source, tmp_path / "checkpoints" / family / "small")
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    monkeypatch.setenv("DATASET_PATH", str(ROOT / "dataset"))
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


def offered(app: AppTest, key: str) -> list[str]:
    """What a row of choices holds, whose key begins so."""
    (control,) = [one for one in app.get("button_group") if str(one.key).startswith(key)]
    return [option.content for option in control.proto.options]


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
    assert "From 32 x 32 to 64 x 64 pixels" in shown(app).replace("\\", "")
    assert len(app.download_button) == len(images) + 1


def test_only_what_the_image_allows_is_offered(output_dir: Path) -> None:
    """The films of the sample have 256 pixels a side, the upscaler enlarges to 64 and 96."""
    app = open_page("super_resolution")
    assert offered(app, "enlarge_way") == ["Reduce it first, and compare"]
    assert offered(app, "enlarge_size") == ["64", "96"]
    manifest = next((output_dir / "checkpoints" / "super_resolution").glob("*/manifest.json")).parent
    write_manifest(manifest, replace(read_manifest(manifest), sizes=(512, 768)))
    app = open_page("super_resolution")
    assert offered(app, "enlarge_way") == ["Enlarge it as it is"]
    assert offered(app, "enlarge_size") == ["512", "768"]


def test_the_first_choice_can_be_done_by_every_model_that_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the first image that is offered for it, which is of its own kind."""
    monkeypatch.setenv("OUTPUT_DIR", str(ROOT / "outputs"))
    monkeypatch.setenv("DATASET_PATH", str(ROOT / "dataset"))
    for manifest in studio().enlargers():
        row = find_dataset_for(manifest).rows[0]
        assert row.source in manifest.data.sources
        side, upscaler = min(row.image().shape), studio().enlarger(manifest.ref.full_name)
        reached = [size for size in manifest.sizes if size <= side]
        assert upscaler.num_steps(*((reached[0] // 2, reached[0]) if reached else (side, min(manifest.sizes)))) > 0


def test_an_image_of_another_subject_is_pointed_out(output_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert not open_page("super_resolution").warning
    source = trained("flow_matching", tmp_path_factory.getbasetemp()).options.checkpoint
    shutil.copytree(source, output_dir / "checkpoints" / "flow_matching" / "small")
    request = make_request(read_condition(read_manifest(source), label="normal"), seed=1, size=32)
    (picture,) = pictures(studio().generate(request, "flow_matching/small"), 0)
    app = AppTest.from_file(PAGE, default_timeout=TIMEOUT_S)
    app.session_state["enlarge_source"] = "Generated"
    app.session_state["enlarge_generated"] = studio().keep(picture, own_folder(output_dir))
    app.session_state["enlarge_model"] = "super_resolution/small"
    run(app)
    assert "another kind (Lung CT) than those that the model learned from (Chest X-ray)" in app.warning[0].value


def test_a_cascade_is_offered_by_its_stages(output_dir: Path) -> None:
    app = open_page("cascade")
    assert len(app.selectbox(key="enlarge_model").options) == 2
    assert offered(app, "enlarge_size") == ["32"]
    enlarge(app)
    assert "From 16 x 16 to 32 x 32 pixels" in shown(app).replace("\\", "")


def test_without_a_model_the_page_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    app = run(AppTest.from_file(PAGE, default_timeout=TIMEOUT_S))
    assert "No checkpoint here enlarges images" in app.error[0].value
