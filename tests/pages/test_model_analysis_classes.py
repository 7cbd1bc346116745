"""Model analysis of a model with classes: its autoencoder is shown images of these classes, or none."""

# ruff: noqa: F811 - fixtures of the family, by import
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.families.cvae.conftest import cells, cells_folder, small_config, straight  # noqa: F401
from tests.pages.generator import TIMEOUT_S, run, shown

ROOT = Path(__file__).parents[2]


def open_autoencoder(output_dir: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("OUTPUT_DIR", str(output_dir))
    monkeypatch.setenv("DATASET_PATH", str(dataset))
    page = AppTest.from_file(ROOT / "pages" / "measure" / "model_analysis.py", default_timeout=TIMEOUT_S)
    page.session_state["model_tab"] = "Autoencoder"
    return run(page)


def test_images_of_its_classes_are_reconstructed(
    straight: Path, cells_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_autoencoder(straight, cells_folder, monkeypatch)
    assert [metric.label for metric in page.metric] == ["Mean squared error", "SSIM", "PSNR"] and not page.error


def test_images_of_something_else_are_not(straight: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = open_autoencoder(straight, ROOT / "dataset", monkeypatch)
    assert "No dataset here has test images of what this model draws" in shown(page) and not page.metric
