"""The Adapters page and the Generator's choice of adapters, without a browser, over two real small adapters."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.kit.services import job_queue, studio
from tests.pages.generator import FRAME, TIMEOUT_S, click, open_generator, run, settle, shown, viewers, wait
from tests.pages.test_restore import restore
from xray_generator.export.pictures import pictures
from xray_generator.requests import text_request
from xray_generator.studio import Studio
from xray_generator.types import AdapterWeight, GenerationResult

JOB = "adapters_job"
WEIGHT = "adapters weight of lora/first of tiny"
CHOSEN = "adapters adapters of tiny"
README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def adapted_dir(adapter_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An OUTPUT_DIR of this test with tiny and two adapters of it linked into it."""
    (tmp_path / "checkpoints").symlink_to(adapter_checkpoints / "checkpoints")
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    return tmp_path


def open_page() -> AppTest:
    app = run(AppTest.from_file(FRAME, default_timeout=TIMEOUT_S))
    app.switch_page("create/adapters.py")
    return settle(run(app), JOB)


def pair(app: AppTest) -> tuple[GenerationResult, GenerationResult]:
    without, adapted = app.session_state["adapters_shown"]
    assert without.request.adapters == () and without.seeds == adapted.seeds
    return without, adapted


def test_the_base_stands_beside_the_adapted_and_follows_the_weight(adapted_dir: Path) -> None:
    app = open_page()
    without, adapted = pair(app)
    assert [one.adapter.name for one in adapted.request.adapters] == ["first"]
    assert not np.array_equal(without.images[0], adapted.images[0])
    (viewer,) = viewers(app)
    assert [pane["label"] for pane in viewer["panes"]] == ["Without adapters", "With adapters"]
    assert "change a pixel by" in shown(app) and "with first at weight 1" in shown(app).replace("\\", "")
    app.slider(key=WEIGHT).set_value(0.0)
    settle(run(app), JOB)
    without, adapted = pair(app)
    assert np.array_equal(without.images[0], adapted.images[0]) and adapted.request.adapters[0].weight == 0
    assert "Both images are equal to the bit" in shown(app)
    app.multiselect(key=CHOSEN).set_value(["lora/second", "lora/first"])
    settle(run(app), JOB)
    assert [one.adapter.name for one in pair(app)[1].request.adapters] == ["second", "first"]


def test_the_sheet_has_a_row_for_each_weight_and_a_column_for_each_guidance(adapted_dir: Path) -> None:
    app = open_page()
    app.session_state["adapters_Weights"], app.session_state["adapters_Guidance"] = [1.0, 0.0], [3.0, 1.0]
    click(run(app), "adapters_grid")
    key = f"adapters_grid {studio().manifest('tiny').ref.sha256}"
    settle(app, key)
    results = job_queue().get(app.session_state[key]).result
    settings = [(one.request.adapters[0].weight, one.request.guidance_scale) for one in results]
    assert settings == [(0, 1), (0, 3), (1, 1), (1, 3)]
    base = studio().generate(pair(app)[0].request, "tiny").images[0]
    assert np.array_equal(results[1].images[0], base) == (pair(app)[0].request.guidance_scale == 3)
    assert app.download_button(key="adapters_sheet")


def test_an_adapted_image_is_opened_in_the_generator_and_comes_back_from_its_file(adapted_dir: Path) -> None:
    app = open_page()
    app.slider(key=WEIGHT).set_value(0.6)
    settle(run(app), JOB)
    click(app, "adapters_open")
    assert app.title[0].value == "Generator"
    app.switch_page("create/generate.py")  # as the browser does
    run(app)
    assert app.multiselect(key="adapters of tiny").value == ["lora/first"]
    assert app.slider(key="weight of lora/first of tiny").value == 0.6
    click(app, "generate")
    result = wait(app).result
    assert result.request.adapters[0].weight == 0.6
    assert "with first at weight 0.6" in shown(app).replace("\\", "")
    buttons = [button.key for button in app.button]
    assert "send Enhance" in buttons and "send Edit" not in buttons  # whose form has no adapters
    app.multiselect(key="adapters of tiny").set_value([])
    run(app)
    restore(app, pictures(result, 0)[0].png())
    assert "makes this image again" in shown(app)
    assert app.multiselect(key="adapters of tiny").value == ["lora/first"]


def test_an_adapter_that_is_not_here_is_said(output_dir: Path, adapter_checkpoints: Path) -> None:
    other = Studio(adapter_checkpoints, "cpu")
    adapters = (AdapterWeight(other.manifest("lora/first").ref, 0.5),)
    result = other.generate(text_request("Chest X-ray", seed=1, size=64, steps=1, adapters=adapters), "tiny")
    app = open_generator()
    assert not [one for one in app.multiselect if str(one.key).startswith("adapters")]
    restore(app, pictures(result, 0)[0].png())
    assert "The adapter of this image (first, SHA-256" in shown(app).replace("\\", "")


def test_without_adapters_the_page_says_how_to_train_one(output_dir: Path) -> None:
    app = open_page()
    assert "No adapter is here yet" in app.info[0].value
    assert "chest_xray_lora" in app.code[0].value and app.code[0].value in README.read_text()


def test_an_adapter_without_its_base_is_named(
    tmp_path: Path, adapter_checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(adapter_checkpoints / "checkpoints" / "lora", tmp_path / "checkpoints" / "lora")
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    app = open_page()
    assert "The adapter first needs latent_diffusion/tiny" in app.warning[0].value.replace("\\", "")
