"""Time and memory per image on this machine, and how often the network runs for it."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from xray_generator.evaluation.records import Curve, Measurement
from xray_generator.machine import peak_bytes
from xray_generator.types import GenerationRequest, GenerationResult

Draw = Callable[[GenerationRequest], GenerationResult]

STEPS = (4, 8, 20, 50)
REPEATS = 5


def machine_facts() -> dict[str, Any]:
    """The hardware and versions that a time depends on, without anything that identifies the machine."""
    cuda = torch.cuda.is_available()
    return {
        "processor": str(torch.cpu.get_capabilities().get("cpu_name") or platform.machine()),
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def peak_memory_mb() -> float:
    """Peak memory of this process so far; on CUDA that of the device."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_bytes() / 2**20


def measure_speed(
    draw: Draw,
    components: Mapping[str, nn.Module],
    request: GenerationRequest,
    steps: Sequence[int] = STEPS,
    schedulers: Sequence[str | None] = (None,),
    repeats: int = REPEATS,
) -> list[Measurement]:
    """Median time of one image for each number of steps and scheduler, and images per second at the request's steps.

    Each setting draws one image to warm up, then `repeats`. Fastest and slowest are in the settings, not an interval.

    Args:
        draw: makes the images of a request.
        components: the networks whose calls are counted.
        request: a resolved request, whose steps and guidance are known.
        steps: numbers of steps to time.
        schedulers: names; None: that of the request.
        repeats: timed images per setting.
    """
    single = replace(request, num_images=1)
    found = []
    for scheduler in schedulers:
        for count in sorted({*steps, request.num_inference_steps or 0} - {0}):
            timed = replace(single, num_inference_steps=count, scheduler=scheduler or request.scheduler)
            found.append(_latency(draw, components, timed, repeats))
    own = next(m for m in found if m.settings["steps"] == (request.num_inference_steps or steps[0]))
    assert own.value is not None
    per_second = Measurement("images_per_second", 1_000 / own.value, own.n, settings=own.settings)
    return [*found, per_second]


def speed_curve(measurements: Sequence[Measurement]) -> Curve:
    """Median latency over steps, a line for each scheduler."""
    timed = [m for m in measurements if m.measure == "latency_ms"]
    values = {(str(m.settings["scheduler"]), float(m.settings["steps"])): m.value for m in timed}
    x = tuple(sorted({steps for _, steps in values}))
    lines = {name: tuple(values.get((name, steps)) for steps in x) for name in sorted({name for name, _ in values})}
    return Curve("Time for one image", "steps", "milliseconds", x, lines)


def _latency(draw: Draw, components: Mapping[str, nn.Module], request: GenerationRequest, repeats: int) -> Measurement:
    evaluations = count_evaluations(components, lambda: draw(request))  # warms up, too
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        draw(request)
        times.append((time.perf_counter() - started) * 1_000)
    return Measurement(
        "latency_ms",
        statistics.median(times),
        repeats,
        settings={
            "steps": request.num_inference_steps,
            "scheduler": request.scheduler,
            "guidance_scale": request.guidance_scale,
            "network_evaluations": evaluations,
            "fastest_ms": min(times),
            "slowest_ms": max(times),
            **machine_facts(),
        },
    )


def count_evaluations(components: Mapping[str, nn.Module], call: Callable[[], Any]) -> int:
    """NFE: how many images pass through the busiest network (the denoiser) during a call; guidance doubles it."""
    counts = dict.fromkeys(components, 0)

    def counter(name: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        def hook(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            batch = next((len(value) for value in (*arguments, *named.values()) if torch.is_tensor(value)), 1)
            counts[name] += batch

        return hook

    hooks = [module.register_forward_pre_hook(counter(name), with_kwargs=True) for name, module in components.items()]
    try:
        call()
    finally:
        for hook in hooks:
            hook.remove()
    return max(counts.values(), default=0)
