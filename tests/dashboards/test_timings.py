"""Latencies measured here beside those of a record, and the training history that ships with a checkpoint."""

from dataclasses import replace
from pathlib import Path

from xray_generator.checkpoints import find_checkpoint, read_manifest
from xray_generator.dashboards.timings import compare_times, latency_text, stored_times, time_curve
from xray_generator.evaluation.records import Measurement, Record
from xray_generator.evaluation.summary import value_text
from xray_generator.types import CheckpointRef


def latency(value: float, steps: int, scheduler: str = "ddim") -> Measurement:
    return Measurement("latency_ms", value, 3, settings={"steps": steps, "scheduler": scheduler})


def test_latencies_are_compared_by_steps_with_those_of_the_record() -> None:
    ref = CheckpointRef("latent_diffusion", "tiny", "ab")
    stored = (latency(20.0, 4), latency(50.0, 8), latency(1.0, 8, "unipc"))
    record = Record("tiny", "quick", "2026-01-01", "abc", ref, {}, stored)
    others = (replace(record, checkpoint=replace(ref, sha256="old")), replace(record, measurements=()))
    assert stored_times((*others, record), ref) is record and stored_times(others, ref) is None
    timings = compare_times([latency(10.0, 4), latency(5.0, 2)], record, "ddim")
    values = [(t.steps, t.here and t.here.value, t.stored and t.stored.value) for t in timings]
    assert values == [(2, 5.0, None), (4, 10.0, 20.0), (8, None, 50.0)]
    assert time_curve(timings).lines == {"here": (0.005, 0.01, None), "record": (None, 0.02, 0.05)}
    assert set(time_curve(compare_times([], record, "ddim")).lines) == {"record"}


def test_times_are_said_in_seconds() -> None:
    slow = Measurement("latency_ms", 58_103.0, 1, (9_400.0, 410.0), settings={"slowest_ms": 1_234_000.0})
    assert value_text(slow) == latency_text(slow) == "58 s" and latency_text(slow, "slowest_ms") == "1,234 s"
    assert [value_text(slow, end) for end in slow.interval or ()] == ["9.4 s", "0.41 s"]
    assert latency_text(None) == latency_text(slow, "fastest_ms") == ""


def test_the_shipped_checkpoint_carries_its_history(dataset_folder: Path) -> None:
    manifest = read_manifest(find_checkpoint(dataset_folder.parent / "outputs" / "checkpoints", "chest_xray_256"))
    assert {name.split("/")[1] for name in manifest.files if name.startswith("history/")} == set(manifest.steps)
