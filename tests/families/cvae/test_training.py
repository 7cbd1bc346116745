"""All stages from the command to the checkpoint, without a latent of a training image."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.training.toy import newest
from xray_generator.checkpoints import read_manifest
from xray_generator.config import config_names, dump, parse, read_config
from xray_generator.data.rows import Dataset
from xray_generator.families.cvae.config import CVAEConfig
from xray_generator.families.cvae.engine import CVAEEngine
from xray_generator.families.cvae.training import train_run
from xray_generator.train import main
from xray_generator.types import RunOptions, StudioError

CHECKPOINT = Path("checkpoints") / "cvae" / "small"
NETWORKS = {
    "encoder": "autoencoder",
    "decoder": "autoencoder",
    "prior": "prior",
    "grain": "grain",
}  # and the stage that trains it


def test_checkpoint_holds_the_averaged_weights_and_says_what_it_is(straight: Path) -> None:
    folder = straight / CHECKPOINT
    manifest = read_manifest(folder)
    assert list(manifest.steps) == ["autoencoder", "prior", "grain"]
    assert (manifest.sizes, manifest.schedulers, manifest.labels) == ((64,), ("euler",), ("disc", "ring", "stripes"))
    assert manifest.unconditional
    assert manifest.data.classes == {"disc": 8, "ring": 8, "stripes": 8}
    for quality in (manifest.metrics.reconstruction, manifest.metrics.grain):
        assert {split: one.num_images for split, one in quality.items()} == {"val": 6, "test": 3}
    for name, stage in NETWORKS.items():
        state = newest(straight / "runs" / "small" / stage)
        average = dict(zip(state["module"], state["ema"]["shadow_params"], strict=True))
        for key, value in load_file(folder / name / "model.safetensors").items():
            assert torch.equal(value, average[f"{name}.{key}"].half())
    card = (folder / "README.md").read_text()
    psnr = manifest.metrics.reconstruction["val"].psnr_db
    for words in (
        "`disc`, `ring`, `stripes`",
        f"| val | 6 | {psnr:.2f} |",
        "it is noise, not learned structure",
        "no latent of any training image",
    ):
        assert words in card


def test_checkpoint_holds_no_latent_of_a_training_image(
    straight: Path, engine: CVAEEngine, small_config: CVAEConfig
) -> None:
    """Its files are trained weights, words and previews."""
    folder = straight / CHECKPOINT
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    kept = {name for name in names if not name.startswith("history/")}
    assert kept == {"README.md", "manifest.json", *(f"{name}/model.safetensors" for name in NETWORKS)}
    assert {Path(name).suffix for name in names - kept} == {".jsonl", ".jpg"}
    cached = [np.load(path) for path in (straight / "runs" / "small" / "cache").glob("posteriors-*.npy")]
    assert sorted(array.shape for array in cached) == [(12, 8, 4, 4), (48, 8, 4, 4)]  # in the run's folder alone
    for name, network in engine.components().items():
        assert load_file(folder / name / "model.safetensors").keys() == dict(network.named_parameters()).keys()
    preprocessing = read_manifest(folder).preprocessing
    assert len(preprocessing["latent_mean"]) == len(preprocessing["latent_std"]) == small_config.latent_channels


def test_images_without_a_class_are_refused(small_config: CVAEConfig, cells: Dataset, tmp_path: Path) -> None:
    nameless = Dataset(tuple(replace(row, label="") for row in cells.rows))
    with pytest.raises(StudioError, match="No training image has a class"):
        train_run(small_config, nameless, RunOptions(tmp_path / "run", tmp_path / "small"))


@pytest.fixture
def command(small_config: CVAEConfig, cells_folder: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "small.json").write_text(json.dumps(dump(small_config)))
    return [
        "--config",
        str(tmp_path / "small.json"),
        "--dataset_path",
        str(cells_folder),
        "--output_dir",
        str(tmp_path / "outputs"),
        "--num_threads",
        "1",
    ]


def test_quick_test_runs_every_stage(command: list[str], tmp_path: Path) -> None:
    assert main([*command, "--quick_test"]) == 0
    folder = tmp_path / "outputs" / "runs" / "small_quick_test"
    for stage, measured in (("autoencoder", "psnr_db"), ("prior", "validation_loss"), ("grain", "sharpness_ratio")):
        entries = [json.loads(line) for line in (folder / stage / "log.jsonl").read_text().splitlines()]
        assert [entry["step"] for entry in entries if "loss" in entry] == [4, 8]
        assert all(math.isfinite(entry["loss"]) for entry in entries if "loss" in entry)
        assert any(measured in entry for entry in entries)
    assert read_manifest(tmp_path / "outputs" / "checkpoints" / "cvae" / "small_quick_test").steps["prior"] == 8


def test_autoencoder_alone(command: list[str], tmp_path: Path) -> None:
    assert main([*command, "--quick_test", "--train_vae_only"]) == 0
    folder = tmp_path / "outputs" / "runs" / "small_quick_test"
    assert (folder / "autoencoder" / "weights" / "decoder" / "model.safetensors").is_file()
    assert not (folder / "prior").exists() and not (tmp_path / "outputs" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--resume_from", "nowhere"], "continued where it is"),
        (["size=72"], "multiple of 32"),
        (["crop_size=40"], "crop_size must be a multiple of 16"),
        (["crop_size=128"], "crop_size must be from 0 to 64"),
        (["reconstruction.l1_weight=0"], "above 0"),
        (["network.prior_channels=[8,12]"], "multiples of 8"),
        (["network.channels=[8,8]"], "have as many levels, 1 to 3"),
        (["network.chanels=[8,16]"], "network.chanels"),
        (["beta=-1"], "beta must be"),
    ],
)
def test_fault_is_one_clear_line(
    command: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main([*command, *arguments]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert words in errors[0]


def test_shipped_settings_are_rows_of_the_table() -> None:
    found = {name: read_config(name) for name in config_names()}
    sizes = {name: parse(CVAEConfig, data).size for name, data in found.items() if data["family"] == "cvae"}
    assert sizes == {"axoneme_224": 224, "axoneme_448": 448, "blood_cells_224": 224}
