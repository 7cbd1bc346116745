"""Interpolation against an upscaler, on films that are known."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.families.super_resolution.conftest import small_config, straight, upscaler  # noqa: F401 - fixtures
from xray_generator.config import dump
from xray_generator.data.rows import Dataset
from xray_generator.evaluate import main
from xray_generator.evaluation import super_resolution
from xray_generator.evaluation.records import Record, read_record
from xray_generator.evaluation.super_resolution import measure_upscaler
from xray_generator.families.super_resolution.engine import SuperResolutionEngine
from xray_generator.images import resize_square
from xray_generator.types import StudioError


@pytest.fixture(scope="module")
def record(upscaler: SuperResolutionEngine, tiny_dataset: Dataset) -> Record:  # noqa: F811
    return measure_upscaler(upscaler, tiny_dataset, 64, ("val", "test"), (2.0, 1.5), (1, 2))


def test_every_method_is_measured_at_every_ratio(record: Record, upscaler: SuperResolutionEngine) -> None:  # noqa: F811
    assert record.checkpoint == upscaler.manifest.ref
    rows = record.tables["enlargement"]
    assert [(row["method"], row["num_steps"], row["from_size"]) for row in rows] == [
        (name, steps, side)
        for side in (32, 43)
        for name, steps in (
            ("nearest", None),
            ("bilinear", None),
            ("bicubic", None),
            ("lanczos", None),
            ("upscaler", 1),
            ("upscaler", 2),
        )
    ]
    assert {(row["split"], row["n"], row["to_size"]) for row in rows} == {("val", 4, 64)}  # no film in test
    assert all(
        isinstance(row[name], float)
        for row in rows
        for name in ("mse", "psnr", "ssim", "fsim", "vif", "spectral_distance")
    )
    assert dump(record)["tables"]["enlargement"]


def test_figures_are_those_of_an_independent_computation(record: Record, tiny_dataset: Dataset) -> None:
    films = [resize_square(row.image(), 64) for row in tiny_dataset.split("val")]
    errors, sharp = [], []
    for film in films:
        small = cv2.resize(film, (32, 32), interpolation=cv2.INTER_AREA)
        plain = np.clip(cv2.resize(small, (64, 64), interpolation=cv2.INTER_CUBIC), 0, 1)
        errors.append(float(((plain - film) ** 2).mean()))
        sharp.append(
            [cv2.Laplacian(np.rint(image * 255).astype(np.uint8), cv2.CV_64F).var() for image in (plain, film)]
        )
    bicubic = next(row for row in record.tables["enlargement"] if row["method"] == "bicubic" and row["from_size"] == 32)
    assert bicubic["mse"] == pytest.approx(np.mean(errors), rel=1e-4)
    assert bicubic["psnr"] == pytest.approx(np.mean(-10 * np.log10(errors)), rel=1e-4)
    ours, theirs = np.mean(sharp, axis=0)
    assert bicubic["sharpness_ratio"] == pytest.approx(ours / theirs, rel=1e-3)


def test_order_of_the_interpolations_is_as_known(record: Record) -> None:
    psnr = {row["method"]: row["psnr"] for row in record.tables["enlargement"] if row["from_size"] == 32}
    assert psnr["nearest"] < psnr["bilinear"] < psnr["bicubic"]


def test_a_data_set_without_large_images_is_refused(upscaler: SuperResolutionEngine, tiny_dataset: Dataset) -> None:  # noqa: F811
    with pytest.raises(StudioError, match="reaches 1024 pixels"):
        measure_upscaler(upscaler, tiny_dataset, 1_024)


def test_the_command_measures_what_enlarges(
    straight: Path,  # noqa: F811
    dataset_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    monkeypatch.setattr(super_resolution, "measure_upscaler", partial(measure_upscaler, num_steps=(1,)))
    metrics = tmp_path / "metrics"
    arguments = ["--suite", "enlargement", "--real", str(dataset_folder), "--split", "val", "--size", "64"]
    arguments += ["--num_threads", "1", "--output_dir", str(metrics)]
    assert main(arguments) == 1
    assert "no checkpoint that enlarges" in capsys.readouterr().err
    (tmp_path / "checkpoints").symlink_to(straight / "checkpoints", target_is_directory=True)
    assert main([*arguments, "--checkpoint", "small", "super_resolution/small"]) == 0
    assert capsys.readouterr().out.count(".record.json") == 2  # of the same weights: the later one is kept
    (found,) = map(read_record, metrics.glob("*.record.json"))
    assert found.name == f"small_enlargement_{dataset_folder.name}"
    assert {row["method"] for row in found.tables["enlargement"]} >= {"lanczos", "upscaler"}
    assert "## Compared with interpolation" in next(metrics.rglob("model_summary.md")).read_text()
