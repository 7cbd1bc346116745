"""Both stages from the command to the checkpoint: resumed to the bit, without a latent, refused in words."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.families.latent_diffusion.test_training import assert_equal, newest, terminated_at
from xray_generator.checkpoints import read_manifest
from xray_generator.config import config_names, dump, parse, read_config
from xray_generator.data.rows import Dataset
from xray_generator.families.cvae.autoencoder_task import AutoencoderLoss
from xray_generator.families.cvae.config import CVAEConfig
from xray_generator.families.cvae.engine import CVAEEngine
from xray_generator.families.cvae.grain_task import GrainLoss
from xray_generator.families.cvae.prior_task import PriorLoss
from xray_generator.families.cvae.training import train_run
from xray_generator.train import main
from xray_generator.training.loop import TrainingStopped
from xray_generator.types import StudioError

CHECKPOINT = Path("checkpoints") / "cvae" / "small"
NETWORKS = {
    "encoder": "autoencoder",
    "decoder": "autoencoder",
    "prior": "prior",
    "grain": "grain",
}  # and the stage that trains it


@pytest.mark.parametrize("stage", [AutoencoderLoss, PriorLoss, GrainLoss])
def test_stopped_and_resumed_equals_straight(
    stage: type[torch.nn.Module], small_config: CVAEConfig, cells: Dataset, straight: Path, tmp_path: Path
) -> None:
    with terminated_at(2, stage), pytest.raises(TrainingStopped):
        train_run(small_config, cells, tmp_path / "run", tmp_path / "small")
    assert not (tmp_path / "small").exists()
    train_run(small_config, cells, tmp_path / "run", tmp_path / "small")
    for name in ("autoencoder", "prior", "grain"):
        assert_equal(newest(tmp_path / "run" / name), newest(straight / "run" / name))
    assert read_manifest(tmp_path / "small").ref == read_manifest(straight / CHECKPOINT).ref


def test_checkpoint_holds_the_averaged_weights_and_says_what_it_is(straight: Path) -> None:
    folder = straight / CHECKPOINT
    manifest = read_manifest(folder)
    assert manifest.steps == {"autoencoder": 4, "prior": 4, "grain": 4}
    assert (manifest.sizes, manifest.schedulers, manifest.labels) == ((64,), ("euler",), ("disc", "ring", "stripes"))
    assert manifest.unconditional
    assert manifest.data.classes == {"disc": 8, "ring": 8, "stripes": 8}
    for metric in ("reconstruction", "grain"):
        assert [manifest.metrics[metric][split]["num_images"] for split in ("val", "test")] == [6, 3]
    for name, stage in NETWORKS.items():
        state = newest(straight / "run" / stage)
        average = dict(zip(state["module"], state["ema"]["shadow_params"], strict=True))  # type: ignore[index,call-overload]
        for key, value in load_file(folder / name / "model.safetensors").items():
            assert torch.equal(value, average[f"{name}.{key}"].half())
        assert (folder / "history" / stage / "log.jsonl").is_file()
    card = (folder / "README.md").read_text()
    psnr = manifest.metrics["reconstruction"]["val"]["psnr_db"]
    for words in (
        "Not for diagnosis",
        "24 images of the `train` split",
        "CC0",
        "4 steps of 4",
        "`disc`, `ring`, `stripes`",
        f"| val | 6 | {psnr:.2f} |",
        "noise and no structure that was learned",
        manifest.commit,
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
    cached = [np.load(path) for path in (straight / "run" / "cache").glob("posteriors-*.npy")]
    assert sorted(array.shape for array in cached) == [(12, 8, 4, 4), (48, 8, 4, 4)]  # in the run's folder alone
    for name, network in engine.components().items():
        assert load_file(folder / name / "model.safetensors").keys() == dict(network.named_parameters()).keys()
    preprocessing = read_manifest(folder).preprocessing
    assert len(preprocessing["latent_mean"]) == len(preprocessing["latent_std"]) == small_config.latent_channels


def test_card_shows_how_to_load_it(straight: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = (straight / CHECKPOINT / "README.md").read_text()
    monkeypatch.chdir(straight)
    found: dict[str, np.ndarray] = {}
    exec(card.split("```python\n")[1].split("```")[0].replace("outputs/", ""), found)
    assert found["image"].shape == (64, 64)


def test_images_without_a_class_are_refused(small_config: CVAEConfig, cells: Dataset, tmp_path: Path) -> None:
    nameless = Dataset(tuple(replace(row, label="") for row in cells.rows))
    with pytest.raises(StudioError, match="No training image has a class"):
        train_run(small_config, nameless, tmp_path / "run", tmp_path / "small")


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


def test_quick_test_runs_both_stages(command: list[str], tmp_path: Path) -> None:
    assert main([*command, "--quick_test"]) == 0
    folder = tmp_path / "outputs" / "runs" / "small_quick_test"
    for stage, measured in (("autoencoder", "psnr_db"), ("prior", "validation_loss")):
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
        (["network.channels=[8,8]"], "as many levels each, 1 to 3"),
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


def test_settings_survive_the_way_to_json_and_back(small_config: CVAEConfig) -> None:
    assert parse(CVAEConfig, json.loads(json.dumps(dump(small_config)))) == small_config


def test_shipped_settings_are_rows_of_the_table() -> None:
    found = {name: read_config(name) for name in config_names()}
    sizes = {name: parse(CVAEConfig, data).size for name, data in found.items() if data["family"] == "cvae"}
    assert sizes == {"axoneme_224": 224, "axoneme_448": 448, "blood_cells_224": 224}
