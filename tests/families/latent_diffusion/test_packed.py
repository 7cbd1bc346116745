"""The denoiser trained from packed latents alone, and a run that goes on with it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from xray_generator.checkpoints import read_manifest
from xray_generator.config import dump
from xray_generator.data.read import read_dataset
from xray_generator.data.record import record_of, write_record
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig
from xray_generator.families.latent_diffusion.packed import main
from xray_generator.families.latent_diffusion.training import train_run
from xray_generator.types import RunOptions

UNET = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def run(tiny_config: LatentDiffusionConfig, dataset_folder: Path, tmp_path: Path) -> Path:
    """A run of the whole sample with a finished autoencoder and nothing else."""
    dataset = read_dataset(dataset_folder)
    config = replace(tiny_config, caption_variants=2)
    train_run(config, dataset, RunOptions(tmp_path / "run", tmp_path / "tiny", autoencoder_only=True))
    (tmp_path / "run" / "config.json").write_text(json.dumps(dump(config)))
    write_record(tmp_path / "run", record_of(dataset, dataset_folder, None, None))
    return tmp_path / "run"


def test_packed_latents_train_a_denoiser_that_the_run_releases(
    run: Path, tiny_config: LatentDiffusionConfig, dataset_folder: Path, tmp_path: Path
) -> None:
    packed, output = tmp_path / "packed", tmp_path / "output"
    assert main(["pack", str(run), str(packed)]) == 0
    assert {path.name for path in packed.iterdir()} == {"config.json", "rows.json", "train.npy", "val.npy"}
    assert (
        str(tmp_path) not in (packed / "rows.json").read_text()
        and "/" not in json.loads((packed / "rows.json").read_text())["train"][0]["path"]
    )
    assert main(["train", str(packed), str(output), "--minutes", "0.02", "--batch_size", "8"]) == 0
    log = json.loads((output / "log.json").read_text())
    assert log["steps"] >= 1 and log["batch_size"] == 8 and log["validation_loss"] > 0
    assert all(path.stat().st_size < 16 * 2**20 for path in output.rglob("*.safetensors"))
    weights = run / "denoiser" / "weights"
    weights.parent.mkdir()
    output.rename(weights)
    config = replace(tiny_config, caption_variants=2)
    train_run(config, read_dataset(dataset_folder), RunOptions(run, tmp_path / "tiny"))
    released = load_file(tmp_path / "tiny" / "unet" / UNET)
    assert all((released[name] == value).all() for name, value in load_file(weights / "unet" / UNET).items())
    manifest = read_manifest(tmp_path / "tiny")
    assert manifest.reads_facts and manifest.steps["denoiser"] == log["steps"]


def test_a_run_without_an_autoencoder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", str(tmp_path), str(tmp_path / "packed")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
