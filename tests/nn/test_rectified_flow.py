"""The velocity of the straight way from data to noise."""

import torch

from xray_generator.nn.rectified_flow import velocity_of


def test_velocity_follows_from_an_estimate_of_the_data() -> None:
    x, estimate = torch.randn(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    velocity = velocity_of(x, estimate, torch.tensor([1.0, 0.3, 0.0]))
    for i, divisor in enumerate((1.0, 0.3, 0.05)):  # never less than 0.05
        torch.testing.assert_close(velocity[i], (x[i] - estimate[i]) / divisor)
