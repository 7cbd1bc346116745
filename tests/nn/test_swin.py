"""Windows that really shift: what a position hears of, in one layer and in both."""

import pytest
import torch
from torch import Tensor

from xray_generator.nn.network_configs import ClassUNetConfig, EnlargerConfig, check_window
from xray_generator.nn.swin import SwinBottleneck
from xray_generator.types import StudioError

WINDOW, SIDE = 4, 16


def heard(layers: slice, place: tuple[int, int]) -> Tensor:
    """(SIDE, SIDE) whether each position changes the output at `place`."""
    torch.manual_seed(0)
    network = SwinBottleneck(32, WINDOW)
    network.layers = network.layers[layers]
    x = torch.randn(1, 32, SIDE, SIDE, requires_grad=True)
    network(x)[0, :, *place].sum().backward()
    assert x.grad is not None
    return x.grad[0].abs().amax(dim=0) > 1e-9


def test_the_first_layer_hears_its_window_and_the_second_one_shifted_by_half() -> None:
    first, second = heard(slice(1), (5, 5)), heard(slice(1, 2), (5, 5))
    assert first.nonzero().min(dim=0).values.tolist() == [4, 4] and first.sum() == WINDOW**2
    assert second.nonzero().min(dim=0).values.tolist() == [2, 2] and second.sum() == WINDOW**2
    assert heard(slice(2), (5, 5)).sum() > 2 * WINDOW**2  # across the borders of the windows


def test_a_shifted_window_does_not_join_opposite_borders() -> None:
    second = heard(slice(1, 2), (0, 0))
    assert second[:2, :2].all() and second.sum() == 4


@pytest.mark.parametrize("sides", [(4, 4), (6, 10), (2, 2)])
def test_any_sides_are_taken_and_leave_the_network_as_it_was(sides: tuple[int, int]) -> None:
    network = SwinBottleneck(32, WINDOW)
    x = torch.randn(2, 32, 16, 16)
    before = network(x)
    assert network(torch.randn(2, 32, *sides)).shape == (2, 32, *sides)
    assert torch.equal(network(x), before)


def test_settings_without_a_shift_or_of_broken_heads_are_refused() -> None:
    with pytest.raises(StudioError, match="window must be even"):
        EnlargerConfig(window=3)
    with pytest.raises(StudioError, match="multiple of 16 channels, not 24"):
        EnlargerConfig((8, 24), window=4)
    check_window(0, ClassUNetConfig().channels[-1])
