"""The benchmarks run and say what they must; how fast, no test asks."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import likelihood, sampling, serving
from xray_generator.checkpoints import read_manifest
from xray_generator.experiments.likelihoods import SUFFIX, find_comparison

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def several_families(tiny_checkpoint: Path, tiny_ct_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OUTPUT_DIR with a model that draws classes, the first by name, and one that reads prompts."""
    output_dir = tmp_path_factory.mktemp("several")
    for source in (tiny_ct_checkpoint, tiny_checkpoint):
        shutil.copytree(source / "checkpoints", output_dir / "checkpoints", dirs_exist_ok=True)
    return output_dir


def test_sampling_compares_a_model_of_prompts_with_two_references(
    several_families: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(several_families))
    path = tmp_path / "new" / "sampling.json"
    sampling.main(["--quick", "--repeats", "1", "--num_threads", "1", "--output", str(path)])
    report = json.loads(path.read_text())
    assert report["studio"]["runtime"]["threads"] == 1
    assert (report["checkpoint"], report["quick"]) == ("latent_diffusion/tiny", True)
    assert os.uname().nodename not in path.read_text().split()
    ours = report["studio"]["latency_ms_by_steps"]
    for name in ("seed_2", "stable_diffusion"):
        latency = report[name]["latency_ms"]["float32"]
        assert latency["min"] <= latency["median"] <= latency["max"] and latency["n"] == 1
        assert report["speedup"][name]["equal_steps"] == latency["median"] / ours[str(report[name]["steps"])]["median"]
        assert report["speedup"][name].keys() == {"each_as_recommended", "equal_steps", "equal_steps_and_dtype"}
    check_studio(report["studio"])
    assert all(report[side]["peak_memory_mb"] > 0 for side in ("studio", "seed_2", "stable_diffusion"))


def test_sampling_measures_a_model_of_classes_alone_in_its_own_process(
    several_families: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(several_families))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    sampling.main(["--checkpoint", "tiny_ct", "--repeats", "1"])
    report = json.loads(capsys.readouterr().out)
    assert report["checkpoint"] == "flow_matching/tiny_ct"
    assert report["speedup"] == {} and "stable_diffusion" not in report
    assert report["studio"]["condition"] == {"kind": "class", "label": "benign"}
    check_studio(report["studio"])


def check_studio(studio: dict[str, Any]) -> None:
    assert (
        studio["latency_ms_by_steps"][str(studio["default_steps"])]["median"] > 0
        and studio["floor_ms"] > 0
        and studio["gigaflops"] > 0
    )
    assert len(studio["kernels"]) == 10 and studio["kernels"][0]["share"] >= studio["kernels"][9]["share"] > 0


def test_the_methods_of_the_likelihood_are_compared(
    tiny_ct_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tiny_ct_checkpoint))
    path = tmp_path / "new" / f"tiny_ct{SUFFIX}"
    likelihood.main(["--quick", "--num_threads", "1", "--output", str(path)])
    found = find_comparison(path.parent, read_manifest(tiny_ct_checkpoint / "checkpoints/flow_matching/tiny_ct").ref)
    assert found and len(found.fast) == len(found.exact) == 1 and "test split" in found.images


def test_a_server_is_asked_while_it_draws(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_checkpoint / "checkpoints", tmp_path / "outputs" / "checkpoints")
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path / "outputs"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    path = tmp_path / "new" / "serving.json"
    serving.main(["--quick", "--num_threads", "1", "--output", str(path)])
    report = json.loads(path.read_text())
    assert (report["checkpoint"], report["people"], report["jobs_done"]) == ("latent_diffusion/tiny", 4, 4)
    health = report["health_ms"]
    for found in health.values():
        assert 0 < found["p50"] <= found["p99"] <= found["max"] and found["n"] > 1
    assert report["p99_ratio"] == health["drawing"]["p99"] / health["idle"]["p99"]
    assert all(value > 0 for value in report["server_memory_mb"].values())


def test_every_benchmark_is_tested() -> None:
    names = [path.name for path in (ROOT / "tests" / "benchmarks").glob("*.py")]
    assert sorted(names) == ["likelihood.py", "sampling.py", "serving.py"]
