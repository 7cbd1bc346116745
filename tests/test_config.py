"""Configurations: strict on the way in, equal on the way out."""

import json
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from xray_generator.config import config_names, dump, override, parse, read_config
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig, ScheduleConfig
from xray_generator.nn.diffusion import SCHEDULERS
from xray_generator.registry import FAMILIES, config_type, draws, get_family
from xray_generator.types import StudioError

TRAINING = {"num_steps": 1, "batch_size": 1, "learning_rate": 0.1}
SMALL = {"name": "small", "autoencoder_training": TRAINING, "denoiser_training": TRAINING}


@pytest.mark.parametrize("name", config_names())
def test_shipped_configurations_parse_and_write_back(name: str) -> None:
    data = read_config(name)
    kind = config_type(data["family"])
    config = parse(kind, data)
    assert parse(kind, json.loads(json.dumps(dump(config)))) == config
    assert config.name == name  # type: ignore[attr-defined]


def test_a_family_draws_or_enlarges() -> None:
    assert [name for name in FAMILIES if not draws(name)] == ["super_resolution"]
    with pytest.raises(StudioError, match="Unknown model family 'unknown'. Allowed: latent_diffusion"):
        get_family("unknown")


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
        ("denoiser_training.learning_rate=0", "learning_rate must be from 1e-08 to 0.5, not 0"),
        ("denoiser_training.learning_rate=NaN", "learning_rate must be from 1e-08 to 0.5, not nan"),
        ("denoiser_training.seed=4294967296", "seed must be from 0 to 4,294,967,295"),
        ("schedule.prediction_type=x0", r"schedule\.prediction_type"),
        ("schedule.prediction_type=epsilon", "must be v_prediction or sample with beta_schedule squaredcos_cap_v2"),
        ("schedule.scheduler=euler", r"schedule\.scheduler: .*'ddim', 'ddpm', 'dpm\+\+' or 'unipc'"),
        ("schedule.prompt_dropout=1.5", "prompt_dropout must be from 0.0 to 1.0, not 1.5"),
        ("schedule.num_inference_steps=0", "num_inference_steps must be from 1 to 1,000, not 0"),
        ("schedule.num_train_timesteps=10", r"num_inference_steps must be num_train_timesteps \(10\) or less, not 20"),
        ("schedule.guidance_scale=-1", "guidance_scale must be from 0.0 to 30.0, not -1"),
        ("schedule.min_snr_gamma=0", "min_snr_gamma must be from 0.01"),
        ("unet.channels=[32,72]", "channels must be multiples of 32 and of num_heads, not 72"),
        ("unet.num_heads=5", "channels must be multiples of 32 and of num_heads, not 96"),
        ("unet.channels=[64]", "channels must be 2 numbers or more"),
        ("autoencoder.crop_size=100", "crop_size must be a multiple of 16"),
        ("autoencoder.latent_channels=0", "latent_channels must be from 1 to 64"),
        ("text_encoder.max_length=0", "max_length must be from 4 to 512"),
        ("text_encoder.num_heads=5", "embedding_size 192 must be a multiple of num_heads 5"),
        ("native_repeats=0", "native_repeats must be from 1"),
        ("image_size=100", "image_size must be a multiple of 64"),
        ("image_size=4096", "image_size must be from 64 to 1,024"),
        ("name=../../etc", "name"),
        ("name=", "name"),
    ],
)
def test_wrong_setting_is_named(assignment: str, fault: str) -> None:
    with pytest.raises(StudioError, match=fault):
        parse(LatentDiffusionConfig, override(SMALL, [assignment]))


def test_noise_prediction_goes_with_a_schedule_that_keeps_some_signal() -> None:
    data = override(SMALL, ["schedule.prediction_type=epsilon", "schedule.beta_schedule=scaled_linear"])
    assert parse(LatentDiffusionConfig, data).schedule.prediction_type == "epsilon"


def test_schedulers_of_the_configuration_are_those_that_sample() -> None:
    assert get_args(get_type_hints(ScheduleConfig)["scheduler"]) == tuple(SCHEDULERS)


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


@pytest.mark.parametrize("name", ["x" * 300, "y" * 10_000, "a\0b", "", "."])
def test_a_name_that_no_file_can_have_is_refused_in_a_short_sentence(name: str) -> None:
    with pytest.raises(StudioError, match=r"No configuration .* can be read.*chest_xray_256") as refused:
        read_config(name)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize(
    "assignment", ["a." * 3_000 + "b=1", "a=" + "[" * 900 + "]" * 900, "a=" + '{"b":' * 40 + "1" + "}" * 40]
)
def test_settings_nested_too_deeply_are_refused(assignment: str, tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="nested more than 16 groups deep"):
        override(SMALL, [assignment])
    (tmp_path / "deep.json").write_text('{"a":' * 900 + "1" + "}" * 900)
    with pytest.raises(StudioError, match="nested more than 16 groups deep"):
        read_config(str(tmp_path / "deep.json"))


@pytest.mark.parametrize("assignment", ["num_steps", "=1", "name.x=1"])
def test_unreadable_override_is_refused(assignment: str) -> None:
    with pytest.raises(StudioError, match="Cannot"):
        override(SMALL, [assignment])
