"""Device, number format, threads and the seeded generators."""

from __future__ import annotations

import gc
import os
import platform
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

from xray_generator import __version__
from xray_generator.types import StudioError, quote

if TYPE_CHECKING:
    import torch
    from accelerate import PartialState

T = TypeVar("T")
MAX_THREADS = 1_024
OUT_OF_MEMORY = ("out of memory", "can't allocate memory")  # in the words of torch's errors on GPUs and CPUs

GOLDEN = 0x9E3779B1  # 2^32 over the golden ratio: streams of near seeds stay apart


def pick_device(name: str | None = None) -> torch.device:
    """The named device, or CUDA where there is one, else the CPU.

    Raises:
        StudioError: the device is unknown or absent.
    """
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise StudioError(f"Unknown device {quote(name)}. Allowed: cpu, cuda, cuda:0, ...") from None
    if device.type not in ("cpu", "cuda"):
        raise StudioError(f"Unknown device {quote(name)}. Allowed: cpu, cuda, cuda:0, ...")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise StudioError(f"There is no {quote(name)} here ({torch.cuda.device_count()} CUDA devices). Use cpu.")
    return device


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 on the device.

    On CPUs the instruction flag does not say: with AVX-512 BF16 an AMD Zen 4 multiplies up to 5 times faster than in
    float32, an Intel Xeon without AMX 1.7 times slower (84 against 146 GFLOP/s, one thread, 1024 x 1024).
    """
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    is_amd = "amd" in str(capabilities.get("cpu_name", "")).lower()
    return bool(capabilities.get("amx_bf16") or (capabilities.get("avx512_bf16") and is_amd))


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 autocast where it is fast, else nothing."""
    import torch

    return torch.autocast(device.type, torch.bfloat16) if has_fast_bfloat16(device) else nullcontext()


def runtime_facts(device: torch.device) -> dict[str, Any]:
    """What the last bits of an image depend on beside its recipe: versions, machine, device, number format, threads."""
    import torch

    return {
        "xray_generator": __version__,
        "torch": torch.__version__,
        "diffusers": version("diffusers"),
        "machine": platform.machine(),
        "device": _device_name(device),
        "dtype": "bfloat16 autocast" if has_fast_bfloat16(device) else "float32",
        "threads": torch.get_num_threads(),
    }


def _device_name(device: torch.device) -> str:
    import torch

    if device.type == "cuda":
        return f"cuda, {torch.cuda.get_device_name(device)}"
    return f"cpu, {torch.cpu.get_capabilities().get('cpu_name', 'unknown')}"


def set_threads(num_threads: int | None = None) -> None:
    """Use `num_threads` (or the environment's STUDIO_THREADS, or torch's own choice); flush denormals to zero.

    Raises:
        StudioError: not a whole number from 1 to 1,024.
    """
    import torch

    wanted = os.environ.get("STUDIO_THREADS") if num_threads is None else str(num_threads)
    if wanted:
        if not wanted.isdecimal() or len(wanted) > 4 or not 1 <= int(wanted) <= MAX_THREADS:
            raise StudioError(f"The number of threads must be from 1 to {MAX_THREADS:,}, not {quote(wanted)}.")
        torch.set_num_threads(int(wanted))
    torch.set_flush_denormal(True)


def run_in_memory(work: Callable[[], T]) -> T:
    """Do the work; where memory does not suffice, free what nobody uses and try once more.

    Images are drawn one at a time, so that there is no smaller batch to try.

    Raises:
        StudioError: memory does not suffice then either.
    """
    for _ in range(2):
        try:
            return work()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        free_memory()  # not above: there the error still holds what the work had made
    raise StudioError("There is not enough memory for this. Choose a smaller size or close other programs; then retry.")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, NumPy or torch says that memory did not suffice."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in OUT_OF_MEMORY)


def free_memory() -> None:
    """Give back what nobody uses any more."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()  # does nothing where there is none


def process_state() -> PartialState:
    """This process among those of a distributed run; the first call joins them (gloo on CPUs, NCCL on GPUs)."""
    from accelerate import PartialState

    return PartialState(cpu=pick_device().type == "cpu")


def seeded_generators(seed: int, num_images: int, stream: int = 0) -> list[torch.Generator]:
    """One CPU generator per image, seeded seed + i, so that image i never depends on its neighbors or the device.

    Another `stream` gives other numbers for the same seed. torch reads 32 bits of a seed.
    """
    import torch

    return [torch.Generator("cpu").manual_seed((seed + i + stream * GOLDEN) % 2**32) for i in range(num_images)]


def initial_noise(shape: Sequence[int], generators: Sequence[torch.Generator], device: torch.device) -> torch.Tensor:
    """(B, *shape) of unit Gaussian noise drawn on the CPU, one generator a row."""
    import torch

    return torch.stack([torch.randn(tuple(shape), generator=g) for g in generators]).to(device)
