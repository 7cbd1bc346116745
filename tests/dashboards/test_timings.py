"""Latencies measured here beside those of a record, and the training history that ships with a checkpoint."""

from dataclasses import replace
from pathlib import Path

from xray_generator.checkpoints import find_checkpoint, read_manifest
from xray_generator.dashboards.timings import compare_times, stored_times, time_curve
from xray_generator.evaluation.records import Measurement, Record
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
    assert time_curve(timings).lines == {"here": (5.0, 10.0, None), "record": (None, 20.0, 50.0)}
    assert set(time_curve(compare_times([], record, "ddim")).lines) == {"record"}


def test_the_shipped_checkpoint_carries_its_history(dataset_folder: Path) -> None:
    manifest = read_manifest(find_checkpoint(dataset_folder.parent / "outputs" / "checkpoints", "chest_xray_256"))
    assert {name.split("/")[1] for name in manifest.files if name.startswith("history/")} == set(manifest.steps)
