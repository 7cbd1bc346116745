"""How long a call takes, what it spends the time on, and how long its multiplications alone would take.

torch is imported within: a benchmark's process may be one that must not hold it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any


def latency_ms(call: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Median, least and greatest of `repeats` calls, after one that is not timed."""
    call()  # warm up
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1_000)
    return {"median": statistics.median(times), "min": min(times), "max": max(times), "n": repeats}


def kernels(call: Callable[[], Any], side: int = 1_024) -> dict[str, Any]:
    """The ten kernels that take most of the time, and the least time that the multiplications alone could take.

    The floor is the floating point operations over the rate of one product of square matrices, by the same threads.
    """
    import torch
    from torch.profiler import ProfilerActivity, profile
    from torch.utils.flop_counter import FlopCounterMode

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        call()
    found = sorted(profiler.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in found)
    with FlopCounterMode(display=False) as counter:
        call()
    matrix = torch.randn(side, side)
    rate = 2 * side**3 / (latency_ms(lambda: matrix @ matrix, 5)["median"] / 1_000)
    return {
        "kernels": [
            {"name": event.key, "calls": event.count, "share": event.self_cpu_time_total / total}
            for event in found[:10]
        ],
        "gigaflops": counter.get_total_flops() / 1e9,
        "gigaflops_per_second_of_a_product": rate / 1e9,
        "floor_ms": counter.get_total_flops() / rate * 1_000,
    }
