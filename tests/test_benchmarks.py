"""The benchmarks run and say what they must; how fast, no test asks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.timeout(900)  # four processes that import torch, on a machine that other work may hold
def test_sampling_benchmark_reports_every_side_by_itself(tiny_checkpoint: Path, tmp_path: Path) -> None:
    report = tmp_path / "new" / "sampling.json"
    subprocess.run(
        [
            sys.executable,
            ROOT / "tests" / "benchmarks" / "sampling.py",
            "--quick",
            "--repeats",
            "2",
            "--num_threads",
            "1",
            "--output",
            report,
        ],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"OUTPUT_DIR": str(tiny_checkpoint), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    found = json.loads(report.read_text())
    assert (found["studio"]["runtime"]["threads"], found["quick"]) == (1, True)
    assert os.uname().nodename not in report.read_text().split()
    for name in ("seed_2", "stable_diffusion"):
        latency = found[name]["latency_ms"]["float32"]
        ours = found["studio"]["latency_ms_by_steps"]
        assert latency["min"] <= latency["median"] <= latency["max"]
        assert latency["n"] == 2
        assert found["speedup"][name]["equal_steps"] == latency["median"] / ours[str(found[name]["steps"])]["median"]
        assert found["speedup"][name].keys() == {"each_as_recommended", "equal_steps", "equal_steps_and_dtype"}
    kernels = found["studio"]["kernels"]
    assert len(kernels) == 10 and kernels[0]["share"] >= kernels[9]["share"] > 0
    assert found["studio"]["floor_ms"] > 0 and found["studio"]["gigaflops"] > 0
    assert all(found[side]["peak_memory_mb"] > 0 for side in ("studio", "seed_2", "stable_diffusion"))
