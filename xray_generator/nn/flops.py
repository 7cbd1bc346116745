"""How much arithmetic a piece of work takes, whatever machine does it and however busy that is."""

from __future__ import annotations

from collections.abc import Callable

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def count_flops(work: Callable[[], object]) -> int:
    """Floating point operations of a call: those of its matrix products and convolutions, backward ones too.

    A multiplication and an addition are two. Attention counts as the products that it consists of, and elementwise work
    not at all.
    """
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:  # a fused kernel would hide its products
        work()
    return int(counter.get_total_flops())
