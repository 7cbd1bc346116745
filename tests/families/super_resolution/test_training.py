"""A run from the command to the checkpoint, and its faults in words."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.toy import newest
from xray_generator.checkpoints import read_manifest
from xray_generator.config import dump, parse
from xray_generator.data.rows import Dataset
from xray_generator.families.super_resolution.config import SuperResolutionConfig
from xray_generator.families.super_resolution.training import train_run
from xray_generator.studio import Studio
from xray_generator.train import main
from xray_generator.types import RunOptions, StudioError

CHECKPOINT = Path("checkpoints") / "super_resolution" / "small"


def test_checkpoint_holds_the_averaged_weights_and_says_what_it_is(straight: Path) -> None:
    folder = straight / CHECKPOINT
    manifest = read_manifest(folder)
    assert (manifest.steps, manifest.sizes, manifest.schedulers) == ({"flow": 2}, (64, 96), ("exponential",))
    assert (manifest.data.num_train, manifest.data.num_val) == (12, 4)
    quality = manifest.metrics.enlargement
    assert {split: one.num_images for split, one in quality.items()} == {"val": 4}
    state = newest(straight / "runs" / "small" / "flow")
    stored = load_file(folder / "network" / "model.safetensors")
    for name, value in zip(state["module"], state["ema"]["shadow_params"], strict=True):
        assert torch.equal(stored[name.removeprefix("network.")], value.half())
    card = (folder / "README.md").read_text()
    psnr, bicubic = quality["val"].psnr_db, quality["val"].bicubic_psnr_db
    for words in (
        "All reach 64 pixels",
        "2 steps of 4 crops of 32 pixels",
        f"| val | 4 | {psnr:.2f} | {bicubic:.2f} |",
    ):
        assert words in card


def test_data_without_large_images_are_refused(
    small_config: SuperResolutionConfig, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(StudioError, match=r"reaches 512x512 pixels.*images512/"):
        train_run(replace(small_config, image_size=512), tiny_dataset, RunOptions(tmp_path / "run", tmp_path / "small"))


@pytest.fixture
def command(small_config: SuperResolutionConfig, dataset_folder: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "small.json").write_text(json.dumps(dump(small_config)))
    return [
        "--config",
        str(tmp_path / "small.json"),
        "--dataset_path",
        str(dataset_folder),
        "--output_dir",
        str(tmp_path / "outputs"),
        "--num_threads",
        "1",
    ]


def test_quick_test_makes_a_checkpoint_that_draws_nothing_by_itself(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENIZER_NAME", "/none")  # concerns families with a text encoder
    assert main([*command, "--quick_test", "training.log_every=1"]) == 0
    folder = tmp_path / "outputs" / "runs" / "small_quick_test"
    entries = [json.loads(line) for line in (folder / "flow" / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries if "loss" in entry] == list(range(1, 9))
    assert all(math.isfinite(entry["one_step"]) for entry in entries if "loss" in entry)
    studio = Studio(tmp_path / "outputs", "cpu")
    assert studio.checkpoints() == ()  # none that draws
    with pytest.raises(StudioError, match="enlarges images and draws none"):
        studio.engine("small_quick_test")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--train_vae_only"], "has no autoencoder"),
        (["--resume_from", "nowhere"], "continued where it is"),
        (["crop_size=40"], "multiple of 16"),
        (["crop_size=128"], "crop_size must be from 32 to 64"),
        (["degradation.factors=[2,1.5]"], "least and the greatest"),
        (["sizes=[]"], "one side or more"),
        (["network.chanels=[8,16]"], "network.chanels"),
        (["image_size=512"], "images512/"),
    ],
)
def test_fault_is_one_clear_line(
    command: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main([*command, *arguments]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert words in errors[0]


def test_settings_of_older_runs_call_the_image_size_film_size(small_config: SuperResolutionConfig) -> None:
    data = dump(small_config)
    assert parse(SuperResolutionConfig, data | {"film_size": data.pop("image_size")}) == small_config
