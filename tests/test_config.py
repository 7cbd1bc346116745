"""Configurations: strict on the way in, equal on the way out."""

import json
from pathlib import Path

import pytest

from xray_generator.config import config_names, dump, override, parse, read_config
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig
from xray_generator.types import StudioError

TRAINING = {"num_steps": 1, "batch_size": 1, "learning_rate": 0.1}
SMALL = {"name": "small", "autoencoder_training": TRAINING, "denoiser_training": TRAINING}


@pytest.mark.parametrize("name", config_names())
def test_shipped_configurations_parse_and_write_back(name: str) -> None:
    config = parse(LatentDiffusionConfig, read_config(name))
    assert parse(LatentDiffusionConfig, json.loads(json.dumps(dump(config)))) == config
    assert config.name == name


def test_names_are_found_in_any_case() -> None:
    assert read_config("Chest_XRAY_256") == read_config("chest_xray_256")


def test_file_is_read_like_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(json.dumps(SMALL))
    assert parse(LatentDiffusionConfig, read_config(str(tmp_path / "own.json"))).name == "small"


@pytest.mark.parametrize("content", ["", "{", "[1]", "\0", "[" * 100_000, '{"a": ' + "1" * 5_000 + "}", b"\xff\xfe"])
def test_damaged_file_is_refused(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(StudioError, match=r"bad\.json"):
        read_config(str(path))


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(StudioError, match="chest_xray_256"):
        read_config("nonsense")


@pytest.mark.parametrize(
    ("assignment", "fault"),
    [
        ("unknown_key=1", "unknown_key"),
        ("unet.chanels=[32,64]", r"unet\.chanels"),
        ("denoiser_training.num_steps=many", r"denoiser_training\.num_steps"),
        ("denoiser_training.num_steps=0", "num_steps must be 1 or more"),
        ("denoiser_training.learning_rate=5", "learning_rate must lie between"),
        ("schedule.prediction_type=x0", r"schedule\.prediction_type"),
        ("image_size=100", "image_size must be a multiple of 64"),
        ("name=../../etc", "name"),
        ("name=", "name"),
    ],
)
def test_wrong_setting_is_named(assignment: str, fault: str) -> None:
    with pytest.raises(StudioError, match=fault):
        parse(LatentDiffusionConfig, override(SMALL, [assignment]))


def test_missing_setting_is_named() -> None:
    with pytest.raises(StudioError, match=r"denoiser_training: Field required"):
        parse(LatentDiffusionConfig, {"name": "x", "autoencoder_training": TRAINING})


def test_overrides_set_nested_values_and_leave_the_original() -> None:
    data = override(SMALL, ["denoiser_training.num_steps=7", "unet.channels=[32,64]", "name=other", "a.b=true"])
    assert data["denoiser_training"]["num_steps"] == 7
    assert data["unet"] == {"channels": [32, 64]}
    assert (data["name"], data["a"]) == ("other", {"b": True})
    assert "unet" not in SMALL
    assert SMALL["name"] == "small"


@pytest.mark.parametrize("assignment", ["num_steps", "=1", "name.x=1"])
def test_unreadable_override_is_refused(assignment: str) -> None:
    with pytest.raises(StudioError, match="Cannot"):
        override(SMALL, [assignment])
