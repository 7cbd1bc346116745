"""The Batch page without a browser, over a tiny model of classes and one that reads prompts."""

import io
import json
import zipfile
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.kit.services import job_queue
from tests.pages.generator import TIMEOUT_S, run, shown
from tests.pages.test_latent_page import settle
from tests.sets.conftest import ROOT, ct_studio  # noqa: F401 - a fixture
from xray_generator.sets.making import zip_set

PAGE = ROOT / "pages" / "create" / "batch.py"


def open_page() -> AppTest:
    st.cache_data.clear()
    return run(AppTest.from_file(PAGE, default_timeout=TIMEOUT_S))


def start(app: AppTest, key: str) -> None:
    before = set(job_queue()._jobs)
    app.button(key=key).click()
    app.run()
    (job,) = (job for name, job in job_queue()._jobs.items() if name not in before)
    settle(app, job)
    assert job.state == "done", job.error


def test_a_set_of_classes_is_planned_measured_made_and_offered(
    ct_studio: Path,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATASET_PATH", str(ROOT / "dataset"))
    app = open_page()
    assert "Time for an image: not measured" in shown(app).replace("\\", "")
    app.number_input(key="batch_number").set_value(2)
    app.number_input(key="batch_attempts").set_value(3)
    run(app)
    (plan,) = app.dataframe
    assert list(plan.value["Kind"]) == ["normal", "benign"] and list(plan.value["To draw"]) == [2, 2]
    assert all(count > 0 for count in plan.value["Real images"])
    start(app, "batch_measure")
    assert "4 images to draw" in shown(app) and "measured here" in shown(app)
    app.segmented_control(key="batch_agrees").set_value("mark")
    run(app)
    start(app, "batch_start")
    (folder,) = (ct_studio / "sets").glob("*/*")
    facts = json.loads((folder / "manifest.json").read_bytes())
    assert facts["images"] + facts["left_out"] == 4 and f"{facts['draws']}" in [text.value for text in app.text]
    assert {"manifest.json", "labels.csv"} <= set(zipfile.ZipFile(io.BytesIO(zip_set(folder))).namelist())
    assert "ZIP" in [button.label for button in app.download_button]
    app.number_input(key="batch_number").set_value(500)
    run(app)
    assert app.button(key="batch_start").disabled
    assert "xray-studio synthesize plan.json --real" in app.code[0].value


def test_facts_are_planned_beside_the_real_images(output_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASET_PATH", str(ROOT / "dataset"))
    app = open_page()
    app.multiselect(key="batch_sexes").set_value(["F", "M"])
    app.number_input(key="batch_number").set_value(90)
    run(app)
    app.segmented_control(key="batch_way").set_value("Fill up the real ones")
    run(app)
    table = app.dataframe[0].value
    assert len(table) == 4 and set(table["Real images"] + table["To draw"]) == {90}
    app.multiselect(key="batch_tiny").set_value([])
    run(app)
    assert not app.dataframe


def test_a_job_that_was_not_asked_for_images_claims_no_number_of_them() -> None:
    def page() -> None:
        from pages.kit.jobs import draw_end
        from xray_generator.jobs import Job

        draw_end(Job(lambda _: None, state="canceled", num_done=7))
        draw_end(Job(lambda _: None, num_images=9, state="canceled", num_done=7))

    first, second = run(AppTest.from_function(page, default_timeout=TIMEOUT_S)).info
    assert "images" not in first.value and "7 of 9 images are finished and kept" in second.value
