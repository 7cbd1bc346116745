"""A run from the command to the checkpoint: resumed to the bit, refused in words."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.families.latent_diffusion.test_training import assert_equal, newest, terminated_at
from xray_generator.checkpoints import read_manifest
from xray_generator.config import dump, parse
from xray_generator.data.rows import Dataset
from xray_generator.families.super_resolution.config import SuperResolutionConfig
from xray_generator.families.super_resolution.task import FlowLoss
from xray_generator.families.super_resolution.training import train_run
from xray_generator.studio import Studio
from xray_generator.train import main
from xray_generator.training.loop import TrainingStopped
from xray_generator.types import StudioError

CHECKPOINT = Path("checkpoints") / "super_resolution" / "small"


def test_stopped_and_resumed_equals_straight(
    small_config: SuperResolutionConfig, tiny_dataset: Dataset, straight: Path, tmp_path: Path
) -> None:
    with terminated_at(2, FlowLoss), pytest.raises(TrainingStopped):
        train_run(small_config, tiny_dataset, tmp_path / "run", tmp_path / "small")
    assert not (tmp_path / "small").exists()
    train_run(small_config, tiny_dataset, tmp_path / "run", tmp_path / "small")
    assert_equal(newest(tmp_path / "run" / "flow"), newest(straight / "run" / "flow"))
    assert read_manifest(tmp_path / "small").ref == read_manifest(straight / CHECKPOINT).ref


def test_checkpoint_holds_the_averaged_weights_and_says_what_it_is(straight: Path) -> None:
    folder = straight / CHECKPOINT
    manifest = read_manifest(folder)
    assert (manifest.steps, manifest.sizes, manifest.schedulers) == ({"flow": 4}, (64, 96), ("euler",))
    assert (manifest.data.num_train, manifest.data.num_val) == (12, 4)
    assert manifest.metrics["enlargement"]["val"]["num_images"] == 4
    assert manifest.metrics["enlargement"]["test"] == {}
    state = newest(straight / "run" / "flow")
    stored = load_file(folder / "network" / "model.safetensors")
    for name, value in zip(state["module"], state["ema"]["shadow_params"], strict=True):  # type: ignore[index,call-overload]
        assert torch.equal(stored[name.removeprefix("network.")], value.half())
    assert (folder / "history" / "flow" / "log.jsonl").is_file()
    card = (folder / "README.md").read_text()
    psnr = manifest.metrics["enlargement"]["val"]["psnr_db"]
    for words in (
        "Not for diagnosis",
        "12 films of the `train` split",
        "CC BY 3.0",
        "4 steps of 4 crops of 32 pixels",
        f"| val | 4 | {psnr:.2f} |",
        manifest.commit,
    ):
        assert words in card


def test_card_shows_how_to_load_it(straight: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = (straight / CHECKPOINT / "README.md").read_text()
    code = card.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(straight)
    found: dict[str, torch.Tensor] = {}
    exec(code.replace("outputs/", "").replace("256, 256", "32, 32"), found)
    assert found["larger"].shape == (1, 1, 64, 64)


def test_no_large_film_is_refused(small_config: SuperResolutionConfig, tiny_dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(StudioError, match=r"reaches 512x512 pixels.*images512/"):
        train_run(replace(small_config, film_size=512), tiny_dataset, tmp_path / "run", tmp_path / "small")


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
        (["film_size=512"], "images512/"),
    ],
)
def test_fault_is_one_clear_line(
    command: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main([*command, *arguments]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert words in errors[0]


def test_settings_survive_the_way_to_json_and_back(small_config: SuperResolutionConfig) -> None:
    assert parse(SuperResolutionConfig, json.loads(json.dumps(dump(small_config)))) == small_config
