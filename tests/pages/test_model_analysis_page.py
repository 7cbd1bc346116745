"""The Model analysis page: training at once, weights only when a tab needs them, errors in words."""

import io
import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image as PILImage
from streamlit.testing.v1 import AppTest

from pages.kit.services import job_queue, studio
from tests.dashboards.test_structure import STRUCTURED
from tests.dashboards.test_timings import latency
from tests.manifests import edit_manifest
from tests.pages.generator import TIMEOUT_S, cancel, click, run, shown
from tests.pages.record_samples import FULL
from tests.training.test_history import make_stage
from xray_generator.evaluation.records import Record, write_record
from xray_generator.jobs import Job

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "pages" / "measure" / "model_analysis.py"


@pytest.fixture
def page(output_dir: Path, dataset_folder: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The page of the tiny checkpoint, with the dataset that ships and nothing cached; not run yet."""
    monkeypatch.setenv("DATASET_PATH", str(dataset_folder))
    st.cache_data.clear()
    return AppTest.from_file(PAGE, default_timeout=TIMEOUT_S)


def open_tab(page: AppTest, name: str) -> AppTest:
    page.session_state["model_tab"] = name
    return run(page)


def figures(page: AppTest) -> list[dict]:
    return [json.loads(element.proto.spec) for element in page.get("plotly_chart")]


def scale_of_loss(page: AppTest) -> str:
    found = (figure for figure in figures(page) if figure["data"][0]["name"] == "training loss")
    return next(found)["layout"]["yaxis"]["type"]


def layers(page: AppTest) -> list[str]:
    return next(list(frame.value["Layer"]) for frame in page.dataframe if frame.value.columns[0] == "Layer")


def table(page: AppTest, column: str) -> list:
    """A column of the first table that has it."""
    return next(list(frame.value[column]) for frame in page.dataframe if column in frame.value.columns)


def plain_text(page: AppTest) -> str:
    return shown(page).replace("\\", "")


def wait(page: AppTest) -> Job:
    job = job_queue().get(page.session_state[f"model_speed_job {studio().manifest('tiny').ref.sha256}"])
    assert job is not None
    deadline = time.monotonic() + TIMEOUT_S
    while not job.is_over and time.monotonic() < deadline:
        time.sleep(0.05)
    run(page)
    return job


def test_first_paint_shows_the_shipped_training_and_imports_no_torch() -> None:
    code = """
import sys
from streamlit.testing.v1 import AppTest
page = AppTest.from_file("pages/measure/model_analysis.py", default_timeout=60).run()
assert not page.exception and not page.error, page.exception
assert len(page.get("plotly_chart")) > 4 and page.get("image")
print([name for name in ("torch", "diffusers", "transformers") if name in sys.modules])
"""
    env = {"OUTPUT_DIR": str(ROOT / "outputs"), "PATH": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True, timeout=TIMEOUT_S
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_without_a_checkpoint_there_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    page = run(AppTest.from_file(PAGE, default_timeout=TIMEOUT_S))
    assert "no checkpoint" in page.error[0].value and not page.tabs


def test_without_a_training_history_the_page_says_so(page: AppTest) -> None:
    run(page)
    assert "has no training history" in page.info[0].value and "64 x 64 pixels" in plain_text(page)


def make_run(output_dir: Path) -> Path:
    """A run of the tiny checkpoint, without a stage."""
    folder = output_dir / "runs" / "tiny"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(studio().manifest("tiny").config))
    return folder


@pytest.mark.parametrize("config", ['{"name": "tiny"}', "half a fi", None])
def test_a_run_of_other_settings_is_not_taken_for_this_training(
    config: str | None, page: AppTest, output_dir: Path
) -> None:
    folder = make_run(output_dir)
    make_stage(folder, "denoiser", 40, every=10)
    (folder / "config.json").unlink() if config is None else (folder / "config.json").write_text(config)
    run(page)
    assert "no run with its settings" in plain_text(page) and not page.get("plotly_chart")


def test_a_run_is_drawn_with_curves_strip_and_animation(page: AppTest, output_dir: Path) -> None:
    make_run(output_dir)
    make_stage(output_dir / "runs" / "tiny", "auto_[x](y)", 40, every=10)
    make_stage(output_dir / "runs" / "tiny", "denoiser", 2, started=1_000)
    run(page)
    assert f"the log of the run in {output_dir / 'runs' / 'tiny'}" in plain_text(page)
    assert page.segmented_control[0].options[-1].endswith("Denoiser")
    strip = [element.proto.imgs[0].url for element in page.get("image")]
    assert len(strip) == 1 + 4 and strip[0].endswith(".gif")
    assert len(figures(page)) == 3 and scale_of_loss(page) == "linear"  # loss, SSIM, the part "mse"
    page.toggle(key="model_log_scale").set_value(True)
    run(page)
    assert scale_of_loss(page) == "log"
    page.segmented_control[0].set_value("denoiser")
    run(page)
    assert "up to step 2," in plain_text(page)


def test_a_damaged_preview_is_an_error_below_the_curves(page: AppTest, output_dir: Path) -> None:
    folder = make_stage(make_run(output_dir), "one", 4)
    next((folder / "previews").iterdir()).write_bytes(b"half a file")
    run(page)
    assert "not an image" in page.error[0].value and page.get("plotly_chart")


def test_architecture_counts_and_filters(page: AppTest) -> None:
    open_tab(page, "Architecture")
    total = sum(p.numel() for part in studio().engine("tiny").components().values() for p in part.parameters())
    assert f"{total:,}" in plain_text(page) and sum(table(page, "Parameters")) == total
    assert set(table(page, "Resolution")) == {"4 x 4", "2 x 2"}
    assert {"autoencoder", "unet", "text_encoder"} <= set(layers(page))
    page.button_group[0].set_value(["unet"])
    page.slider[0].set_value(1)
    run(page)
    first, *others = layers(page)
    assert first == "unet" and others
    assert all(name[0] == "\u2003" and name[1] != "\u2003" for name in others)


def test_noise_schedule_marks_what_the_scheduler_visits(page: AppTest) -> None:
    open_tab(page, "Noise schedule")
    assert len(table(page, "Timestep")) == 4  # as recommended
    page.selectbox[1].set_value("ddim")
    page.number_input[0].set_value(5)
    run(page)
    assert table(page, "Timestep") == [999, 799, 599, 399, 199]


def test_autoencoder_shows_test_images_others_and_uploads(page: AppTest) -> None:
    open_tab(page, "Autoencoder")
    assert [metric.label for metric in page.metric] == ["Mean squared error", "SSIM", "PSNR"]
    assert len(page.get("image")) == 3 * (3 + 4)  # original, copy, difference; four channels
    before = plain_text(page)
    assert plain_text(click(page, "model_others")) != before
    page.segmented_control(key="model_source").set_value("Upload")
    run(page)
    assert not page.metric and not page.get("image")
    upload(page, b"no image")
    assert "This is not an image" in page.error[0].value
    buffer = io.BytesIO()
    PILImage.linear_gradient("L").save(buffer, "PNG")
    upload(page, buffer.getvalue())
    assert "uploaded image" in plain_text(page) and len(page.get("image")) == 7


def upload(page: AppTest, data: bytes) -> None:
    page.file_uploader(key="model_upload").upload("image.png", data, "image/png")
    run(page)


def test_without_a_dataset_images_can_be_uploaded(
    page: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATASET_PATH", str(tmp_path / "missing"))
    open_tab(page, "Autoencoder")
    assert "does not exist" in page.error[0].value
    page.segmented_control(key="model_source").set_value("Upload")
    assert not run(page).error


def test_a_model_without_noise_schedule_or_autoencoder_says_so(
    tiny_ct_checkpoint: Path, page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tiny_ct_checkpoint))
    assert "no noise schedule" in open_tab(page, "Noise schedule").info[0].value
    assert "no autoencoder" in open_tab(page, "Autoencoder").info[0].value


def test_speed_is_measured_here_beside_the_record(page: AppTest, output_dir: Path) -> None:
    open_tab(page, "Speed")
    assert "No times yet" in page.info[0].value
    ref = studio().manifest("tiny").ref
    stored = tuple(latency(1_234.0, steps, "dpm++") for steps in (4, 50))
    write_record(Record("tiny", "quick", "2026-01-02T00:00:00", "abc", ref, {}, stored), output_dir / "metrics")
    assert table(run(page), "Record") == ["1.2 s", "1.2 s"]
    (output_dir / "metrics" / "broken.record.json").write_text("{")
    assert "broken.record.json cannot be read" in run(page).error[0].value.replace("\\", "")
    page.button_group[0].set_value([1])
    click(page, "model_measure")
    job = wait(page)
    assert job.state == "done", job.error
    assert table(page, "Steps") == ["1", "4", "50"] and table(page, "Record")[0] == "not measured"
    assert table(page, "Network evaluations")[:2] == ["2", "8"] and table(page, "Median")[2] == "not measured"
    assert (
        page.metric[0].label == "Images per second" and "Here:" in plain_text(page) and "2026-01-02" in plain_text(page)
    )


def test_structure_and_prompt_are_told_in_words_or_in_one_line(page: AppTest, output_dir: Path) -> None:
    open_tab(page, "Structure and prompt")
    assert "Not measured: there is no record of this model" in plain_text(page)
    record = replace(STRUCTURED, checkpoint=studio().manifest("tiny").ref)
    write_record(replace(record, measurements=FULL.measurements), output_dir / "metrics")
    assert "has none of these measures" in plain_text(run(page)) and not page.get("plotly_chart")
    write_record(record, output_dir / "metrics")
    text = plain_text(run(page))
    assert "Good: low. Bad: near 1" in text and "“no” is not heard" in text
    assert "Not measured: Loss by errors of the latents (This model has no autoencoder)." in text
    assert [metric.value for metric in page.metric] == ["0.4"]
    assert [trace["name"] for trace in figures(page)[0]["data"]] == ["from noise", "from middle noise"]
    assert (
        table(page, "In words") == ["left out", "drawn although denied"] and table(page, "Prompt names it")[0] == "60%"
    )


def test_measuring_can_be_canceled(page: AppTest) -> None:
    open_tab(page, "Speed")
    page.button_group[0].set_value([100])
    click(page, "model_measure")
    cancel(page)
    assert wait(page).state == "canceled"
    assert any("Canceled" in element.value for element in page.info)


def test_a_damaged_manifest_is_an_error_that_names_the_fault(
    tiny_checkpoint: Path, page: AppTest, output_dir: Path
) -> None:
    (output_dir / "checkpoints").unlink()
    shutil.copytree(tiny_checkpoint / "checkpoints", output_dir / "checkpoints")
    wrong = {"scheduler": "dpm++", "num_inference_steps": "many", "guidance_scale": 3.0}
    edit_manifest(next(output_dir.rglob("manifest.json")).parent, lambda data: data.update(recommended=wrong))
    assert "num_inference_steps" in run(page).error[0].value.replace("\\", "")


def test_damaged_weights_are_errors_where_they_are_needed(
    tiny_checkpoint: Path, page: AppTest, output_dir: Path
) -> None:
    (output_dir / "checkpoints").unlink()
    shutil.copytree(tiny_checkpoint / "checkpoints", output_dir / "checkpoints")
    next(output_dir.rglob("unet/*.safetensors")).write_bytes(np.zeros(8, np.uint8).tobytes())
    assert not run(page).error
    for tab in ("Architecture", "Noise schedule", "Autoencoder"):
        assert "unet" in open_tab(page, tab).error[0].value
