"""Latencies measured here beside those of a record, by number of steps; no model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xray_generator.evaluation.records import Curve, Measurement, Record
from xray_generator.evaluation.summary import time_text
from xray_generator.types import CheckpointRef

MACHINE = ("processor", "device", "threads", "torch")  # the settings of a latency that it depends on


@dataclass(frozen=True, slots=True)
class Timing:
    """The latency at a number of steps, measured here and in the record; None: not measured."""

    steps: int
    here: Measurement | None
    stored: Measurement | None


def stored_times(records: Sequence[Record], checkpoint: CheckpointRef) -> Record | None:
    """The first of the records that holds a latency of exactly these weights."""
    return next((r for r in records if r.checkpoint == checkpoint and r.get("latency_ms")), None)


def compare_times(here: Sequence[Measurement], record: Record | None, scheduler: str) -> tuple[Timing, ...]:
    """A row for each number of steps that was measured with a scheduler, here or in the record."""
    ours, theirs = _by_steps(here, scheduler), _by_steps(record.measurements if record else (), scheduler)
    return tuple(Timing(steps, ours.get(steps), theirs.get(steps)) for steps in sorted(ours.keys() | theirs.keys()))


def time_curve(timings: Sequence[Timing]) -> Curve:
    """Seconds over steps: a line for here, one for the record."""
    lines = {
        "here": tuple(_seconds(timing.here) for timing in timings),
        "record": tuple(_seconds(timing.stored) for timing in timings),
    }
    taken = {name: values for name, values in lines.items() if any(value is not None for value in values)}
    return Curve("Time for one image", "steps", "seconds", tuple(float(t.steps) for t in timings), taken)


def _seconds(m: Measurement | None) -> float | None:
    return None if m is None or m.value is None else m.value / 1_000


def latency_text(m: Measurement | None, setting: str = "") -> str:
    """A latency in words, or another time among its settings; empty if it was not measured."""
    value = None if m is None else m.settings.get(setting) if setting else m.value
    return time_text(value) if isinstance(value, int | float) else ""


def machine_text(m: Measurement) -> str:
    """Where a time was taken, in one line."""
    settings = {name: m.settings[name] for name in MACHINE if name in m.settings}
    names = {"threads": "threads: {}", "torch": "torch {}"}
    return ", ".join(names.get(name, "{}").format(value) for name, value in settings.items()) or "an unknown machine"


def _by_steps(measurements: Sequence[Measurement], scheduler: str) -> dict[int, Measurement]:
    return {
        int(m.settings["steps"]): m
        for m in measurements
        if m.measure == "latency_ms" and m.settings.get("scheduler") == scheduler and "steps" in m.settings
    }
