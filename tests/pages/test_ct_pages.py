"""The pages over a checkpoint that draws lung CT by class: the Generator in Hounsfield units, likelihoods, the rest."""

import io
import json
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.kit.services import job_queue, studio
from tests.ct_files import ct
from tests.manifests import edit_manifest
from tests.pages.generator import TIMEOUT_S, cancel, click, open_generator, run, shown, wait
from xray_generator.dicom.hounsfield import WINDOWS
from xray_generator.experiments.likelihoods import SUFFIX, MethodComparison, Score, write_comparison
from xray_generator.export.pictures import pictures
from xray_generator.jobs import Job

ROOT = Path(__file__).parents[2]
SLOW_S = 240  # a likelihood, where other work holds the machine


@pytest.fixture
def output_dir(tiny_ct_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An OUTPUT_DIR of this test with a copy of the tiny CT checkpoint."""
    shutil.copytree(tiny_ct_checkpoint / "checkpoints", tmp_path / "checkpoints")
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    monkeypatch.setenv("DATASET_PATH", str(ROOT / "dataset"))
    st.cache_data.clear()
    return tmp_path


@pytest.fixture
def drawn(app: AppTest) -> AppTest:
    """The Generator with a finished image."""
    click(app, "generate")
    assert wait(app).state == "done"
    return app


def finish(app: AppTest, key: str) -> Job:
    """Press a button and wait until the queue is empty, then run once more."""
    before = set(job_queue()._jobs)
    app.button(key=key).click()
    app.run()
    (job,) = (job for name, job in job_queue()._jobs.items() if name not in before)
    deadline = time.monotonic() + SLOW_S
    while not job.is_over and time.monotonic() < deadline:
        time.sleep(0.05)
    assert job.state == "done", job.error
    run(app)
    return job


def charts(app: AppTest) -> dict[str, dict]:
    """Name of each line or box -> its data, over all charts."""
    return {trace["name"]: trace for chart in app.get("plotly_chart") for trace in json.loads(chart.proto.spec)["data"]}


def words(app: AppTest) -> str:
    return shown(app).replace("\\", "")


def words_of_all(app: AppTest) -> str:
    """With badges."""
    return f"{words(app)} {' '.join(str(element.value) for element in app.markdown)}".replace("\\", "")


def page(name: str) -> AppTest:
    return run(AppTest.from_file(ROOT / "pages" / name, default_timeout=TIMEOUT_S))


def test_the_form_asks_for_a_class_and_a_solver(app: AppTest) -> None:
    assert not app.error
    labels = {element.label for element in [*app.selectbox, *app.number_input, *app.button_group]}
    assert {"Class", "Solver", "Steps", "Guidance"} <= labels and not {"Scheduler", "Prompt"} & labels
    assert app.selectbox(key="scheduler of tiny_ct").value == "heun"
    classes = app.button_group(key="label of tiny_ct")
    assert classes.options == ["Normal", "Benign", "Any"] and classes.value == "normal"


def test_the_window_changes_what_is_seen_and_nothing_else(drawn: AppTest) -> None:
    assert "-1,350 to 150 HU" in words(drawn) and "were cut off in the training data" in words(drawn)
    result = wait(drawn).result
    before = pictures(result, 0)[0].png()
    key = "window of tiny_ct"
    drawn.segmented_control(key=key).set_value("bone")
    run(drawn)
    assert "-500 to 1,300 HU" in words(drawn) and "Values outside -1,350 to 150 HU were cut off" in words(drawn)
    drawn.segmented_control(key=key).set_value("custom")
    run(drawn)
    drawn.number_input(key="window level of tiny_ct").set_value(-700)
    drawn.number_input(key="window width of tiny_ct").set_value(200)
    run(drawn)
    assert "-800 to -600 HU" in words(drawn)
    assert pictures(result, 0)[0].png() == before


def test_the_dicom_file_holds_hounsfield_units_and_says_synthetic(drawn: AppTest, output_dir: Path) -> None:
    picture = pictures(wait(drawn).result, 0)[0]
    assert "Raw DICOM" in [button.label for button in drawn.download_button]
    assert picture.dicom_name == picture.file_name[:-4] + ".dcm"
    file = pydicom.dcmread(io.BytesIO(picture.dicom(studio().manifest("tiny_ct").hu_window)))
    assert file[0x0008, 0x001C].value == "YES" and file.Modality == "CT"
    hu = file.pixel_array * float(file.RescaleSlope) + float(file.RescaleIntercept)
    assert np.abs(hu - WINDOWS["lung"].invert(picture.image)).max() <= 0.51


def test_the_way_from_noise_is_shown_once_it_is_asked_for(drawn: AppTest) -> None:
    assert not charts(drawn)
    finish(drawn, "path_start")
    captions = [caption.value for caption in drawn.caption if caption.value.startswith("sigma")]
    assert captions == [f"sigma = {sigma:.2f}" for sigma in (1, 0.75, 0.5, 0.25, 0)]
    assert not drawn.warning
    assert set(charts(drawn)) == {"noise", "generated: this image", "real: 12 training images"}
    assert {"Strip PNG", "GIF"} <= {button.label for button in drawn.download_button}


def test_what_was_expected_at_every_step_is_shown_once_it_is_asked_for(drawn: AppTest) -> None:
    finish(drawn, "steps_start")
    captions = [caption.value for caption in drawn.caption if caption.value.endswith(" off")]
    assert [caption.split(":")[0] for caption in captions] == ["1", "2", "3", "4"]
    assert "4 steps. Below each image" in words(drawn) and not drawn.warning
    lines = charts(drawn)
    assert set(lines) == {"estimate", "finished image"} and list(lines["finished image"]["x"]) == [1, 2, 3, 4]
    assert {"Strip PNG", "GIF"} <= {button.label for button in drawn.download_button}


def test_the_research_dashboard_compares_by_class_where_the_model_draws_by_class(output_dir: Path) -> None:
    app = page("measure/research.py")
    assert not app.error and "Generated (synthetic) · n = 0" in words_of_all(app)
    app.selectbox(key="research_condition").select("benign")
    app.number_input(key="research_count").set_value(2)
    run(app)
    assert "Condition: Benign. Drawn with the seeds 0 to 1." in words(app)
    assert finish(app, "research_draw").result == 2
    assert "Generated (synthetic) · n = 2" in words_of_all(app) and "Benign" in words(app)
    app.session_state["research_mode"] = "Blind test"
    run(app)
    assert "Asked for: Benign" in words(app)
    app.selectbox(key="research_condition").select("normal")
    assert "Generated (synthetic) · n = 0" in words_of_all(run(app))


def test_training_images_that_were_not_counted_are_said(app: AppTest, output_dir: Path) -> None:
    edit_manifest(next(output_dir.rglob("manifest.json")).parent, lambda data: data["metrics"].pop("intensity"))
    click(app, "generate")
    wait(app)
    finish(app, "path_start")
    assert "Training images: not measured" in words(app)


def test_a_scheduler_of_one_step_leaves_the_form_whole(output_dir: Path) -> None:
    def of_one_step(data: dict[str, Any]) -> None:
        data |= {"schedulers": ["euler"], "few_steps": {"euler": 1}}
        data["recommended"] |= {"scheduler": "euler", "num_inference_steps": 1}

    edit_manifest(next(output_dir.rglob("manifest.json")).parent, of_one_step)
    app = open_generator()
    steps = app.number_input(key="steps of tiny_ct")
    assert (steps.value, steps.min, steps.max) == (1, 1, 1)
    click(app, "generate")
    assert wait(app).state == "done"
    analysis = page("measure/model_analysis.py")
    analysis.session_state["model_tab"] = "Speed"
    assert not run(analysis).error


def test_a_generated_image_is_scored_beside_real_ones(drawn: AppTest) -> None:
    drawn.switch_page("measure/likelihood.py")
    run(drawn)
    assert set(charts(drawn)) == {"real, train", "blank, middle gray", "uniform noise"}
    assert "gray levels taken for -1350 to 150 HU" in words(drawn)
    found = finish(drawn, "likelihood_score").result
    assert f"{found.bits_per_dimension:.3f}" in [metric.value for metric in drawn.metric]
    assert f"{found.bits_per_dimension:,.3f}" in charts(drawn)["generated: this image"]["hovertemplate"]
    assert "not a test of realism" in words(drawn) and "of 1 real slices of the train split" in words(drawn)
    assert "Single real slices of the test split: not measured." in words(drawn)
    assert "Scored without a class, by the exact method." in words(drawn)
    assert "with these weights: not measured." in words(drawn) and "Takes about" in words(drawn)


def test_the_last_result_stays_while_another_is_awaited(drawn: AppTest, output_dir: Path) -> None:
    drawn.switch_page("measure/likelihood.py")
    run(drawn)
    found = finish(drawn, "likelihood_score").result
    score = Score(found.bits_per_dimension, found.standard_error, found.inversion_rmse, found.num_passes)
    other = replace(score, bits_per_dimension=found.bits_per_dimension - 0.25, num_passes=3 * found.num_passes)
    ref, gate = studio().manifest("tiny_ct").ref, threading.Event()
    comparison = MethodComparison(ref, "unknown", "made slices", (score,), (other,))
    write_comparison(output_dir / "metrics" / f"tiny_ct{SUFFIX}", comparison)
    drawn.segmented_control(key="likelihood_method").set_value("exact")
    run(drawn)
    assert "Fast minus exact: +0.2500 to +0.2500 bits per dimension on n = 1 made slices." in words(drawn)
    assert "3.0 times as many as the fast method on n = 1 images" in words(drawn)
    assert not drawn.metric and "generated: this image" not in charts(drawn)
    held = job_queue().submit(lambda _: gate.wait(TIMEOUT_S))
    try:
        click(drawn, "likelihood_score")
        assert drawn.get("progress") and "The result before" in "".join(element.value for element in drawn.markdown)
        assert f"{found.bits_per_dimension:.3f}" in [metric.value for metric in drawn.metric]
        assert "generated: this image" in charts(drawn) and not held.is_over
        cancel(drawn)
        assert not drawn.get("progress") and "Canceled" in words(drawn) and "generated: this image" in charts(drawn)
    finally:
        gate.set()


def test_an_uploaded_ct_file_is_seen_through_the_models_window(output_dir: Path) -> None:
    app = page("measure/likelihood.py")
    assert app.button(key="likelihood_score").disabled
    app.file_uploader(key="likelihood_upload").upload("a.dcm", ct(), "application/dicom").run()
    assert not app.exception and not app.error
    assert "Hounsfield units through the window -1350 to 150 HU" in words(app)
    assert not app.button(key="likelihood_score").disabled
    app.file_uploader(key="likelihood_upload").upload("a.png", b"no image", "image/png").run()
    assert "not an image" in app.error[0].value and app.button(key="likelihood_score").disabled


def test_an_image_of_the_dataset_can_be_scored(output_dir: Path) -> None:
    app = page("measure/likelihood.py")
    app.segmented_control(key="likelihood_source").set_value("Dataset")
    run(app)
    assert not app.button(key="likelihood_score").disabled
    app.segmented_control(key="likelihood_source").set_value("Generated")
    run(app)
    assert (
        "You have not generated an image with this model yet" in words(app)
        and app.button(key="likelihood_score").disabled
    )


def test_without_likelihoods_the_page_says_so(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tiny_checkpoint))
    app = page("measure/likelihood.py")
    assert "No checkpoint here gives likelihoods" in app.error[0].value


@pytest.mark.parametrize("tab", ["Training", "Architecture", "Noise schedule", "Autoencoder", "Speed"])
def test_model_analysis_shows_a_flow(output_dir: Path, tab: str) -> None:
    app = AppTest.from_file(ROOT / "pages" / "measure" / "model_analysis.py", default_timeout=TIMEOUT_S)
    app.session_state["model_tab"] = tab
    run(app)
    assert not app.error
    told = {"Noise schedule": "no noise schedule", "Autoencoder": "no autoencoder", "Training": "no training history"}
    assert told.get(tab, "") in words(app)


@pytest.mark.parametrize(
    ("name", "lack"),
    [
        ("create/live.py", "reads a prompt"),
        ("create/edit.py", "can edit images"),
    ],
)
def test_a_page_that_no_checkpoint_here_can_serve_says_so(output_dir: Path, name: str, lack: str) -> None:
    assert f"No checkpoint here {lack}" in page(name).error[0].value


@pytest.mark.parametrize("name", ["measure/metrics.py", "measure/evaluation.py", "create/enhancement.py"])
def test_other_pages_open(output_dir: Path, name: str) -> None:
    assert not page(name).error
