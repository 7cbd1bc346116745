"""The window of a run on CT: one for the data, the configuration and the checkpoint; no option is ignored."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.test_ct_series import series
from tests.families.tiny import FLOW_MATCHING
from xray_generator.checkpoints import read_manifest
from xray_generator.config import dump
from xray_generator.dicom.hounsfield import WINDOWS, Window
from xray_generator.train import common_parser, main


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """A tiny flow of CT without classes."""
    series(tmp_path / "ct")
    config = tmp_path / "flow.json"
    config.write_text(json.dumps(dump(replace(FLOW_MATCHING, name="flow", labels=()))))
    return ["--config", str(config), "--dataset_path", str(tmp_path / "ct"), "--output_dir", str(tmp_path / "outputs")]


@pytest.mark.parametrize(
    ("given", "window"),
    [
        ([], WINDOWS["lung"]),
        (["--window", "mediastinum"], WINDOWS["mediastinum"]),
        (["--window", "-50,700"], Window(-50, 700)),
    ],
)
def test_data_and_checkpoint_share_the_window(
    command: list[str], tmp_path: Path, given: list[str], window: Window
) -> None:
    assert main([*command, "--slices", "all", *given]) == 0
    outputs = tmp_path / "outputs"
    assert read_manifest(outputs / "checkpoints" / "flow_matching" / "flow").hu_window == window
    assert json.loads((outputs / "runs" / "flow" / "dataset.json").read_text())["ct"]["window"] == dump(window)


@pytest.mark.parametrize("given", [["--window", "lung"], ["--slices", "all"], ["--accept_synthetic"]])
def test_options_of_ct_are_refused_for_other_data(
    given: list[str], dataset_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = ["--dataset_path", str(dataset_folder), "--output_dir", str(tmp_path)]
    assert main(["--config", "chest_xray_512", *paths, *given]) == 1
    assert f"{given[0]} is for CT in DICOM, of which" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["-600,1500", "-.5,3", "lung"])
def test_a_window_may_begin_with_a_minus(value: str) -> None:
    for given in (["--window", value], [f"--window={value}"]):
        assert common_parser("x", "y").parse_args([*given, "name=a"]).window == value


@pytest.mark.parametrize("level", ["-600", "40"])
def test_a_window_may_be_two_numbers(level: str) -> None:
    assert common_parser("x", "y").parse_args(["--window", level, "1500", "name=a"]).window == f"{level},1500"


@pytest.mark.parametrize("option", ["--window", "--slices"])
def test_an_empty_option_is_refused(command: list[str], option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, option, ""]) == 1
    assert "not ''" in capsys.readouterr().err


def test_a_quick_test_scores_no_slice(command: list[str], tmp_path: Path) -> None:
    """By the exact method each of them takes minutes at 128 pixels."""
    config = json.loads((tmp_path / "flow.json").read_text())
    (tmp_path / "flow.json").write_text(json.dumps(config | {"num_likelihoods": 3}))
    assert main([*command, "--slices", "all", "--quick_test"]) == 0
    metrics = read_manifest(tmp_path / "outputs" / "checkpoints" / "flow_matching" / "flow_quick_test").metrics
    assert metrics.likelihood == metrics.likelihood_references == {}
