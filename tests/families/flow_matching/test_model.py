"""The likelihood where it is known in closed form, data that are Gaussian; guidance of the network."""

import math

import pytest
import torch

from tests.families.tiny import FLOW_MATCHING
from tests.nn.gaussian_flow import MEAN, STD, exact, gaussian_field
from xray_generator.families.flow_matching.likelihood import (
    bits_per_dimension,
    dequantize,
    log_density,
    reconstruct,
)
from xray_generator.families.flow_matching.model import FlowMatching
from xray_generator.nn.network_configs import ClassUNetConfig
from xray_generator.types import LikelihoodMethod, StudioError


@pytest.mark.parametrize("method", ["fast", "exact"])
def test_bits_per_dimension_are_those_of_the_gaussian(method: LikelihoodMethod) -> None:
    noise = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    x = exact(noise)
    found = log_density(gaussian_field, x, torch.Generator().manual_seed(1), 4, method)
    true = float(torch.distributions.Normal(MEAN, STD).log_prob(x).sum())
    bits = [bits_per_dimension(float(value), x.numel()) for value in found.values]
    assert bits == pytest.approx([bits_per_dimension(true, x.numel())] * 4, rel=0.01)  # a linear field: no variance
    assert torch.allclose(found.noise, noise, atol=0.005)
    assert (reconstruct(gaussian_field, found.noise, method) - x).abs().max() < 0.005


def test_hutchinson_is_unbiased_where_pixels_act_on_each_other() -> None:
    generator = torch.Generator().manual_seed(2)
    mixing = torch.randn(16, 16, generator=generator) * 0.1

    def field(x: torch.Tensor, sigma: float) -> torch.Tensor:
        return (x.flatten(1) @ mixing.T).view(x.shape)

    x = torch.randn(1, 1, 4, 4, generator=generator)
    found = log_density(field, x, generator, num_probes=400)
    carried = torch.linalg.matrix_exp(mixing) @ x.flatten()
    true = float(torch.distributions.Normal(0, 1).log_prob(carried).sum() + mixing.trace())
    error = float(found.values.std()) / 400**0.5
    assert float(found.values.mean()) == pytest.approx(true, abs=4 * error + 0.01)


def test_uniform_gray_levels_take_eight_bits() -> None:
    nats = math.log(1 / 2) * 100  # density 1/2 on [-1, 1] in each of 100 pixels
    assert bits_per_dimension(nats, 100) == pytest.approx(8)
    levels = torch.tensor([0, 255], dtype=torch.uint8)
    spread = torch.stack([dequantize(levels, torch.Generator().manual_seed(seed)) for seed in range(200)])
    assert spread.min() >= -1 and spread.max() <= 1
    assert spread[:, 0].max() < -1 + 2 / 256 and spread[:, 1].min() > 1 - 2 / 256


def test_guidance_leads_away_from_no_class() -> None:
    torch.manual_seed(0)
    model = FlowMatching.build(FLOW_MATCHING)
    model.network.eval()
    x = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(3))
    uncond, cond = model.field("")(x, 0.5), model.field("normal")(x, 0.5)
    assert not torch.allclose(uncond, cond)
    assert torch.allclose(model.field("normal", 3.0)(x, 0.5), uncond + 3 * (cond - uncond), atol=1e-5)
    assert torch.equal(model.field("", 3.0)(x, 0.5), uncond)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"channels": (48,)}, "two or more"),
        ({"channels": (48, 50)}, "multiples of 16"),
        ({"fold": 0}, "fold"),
        ({"attention_levels": (3,)}, "below 3"),
    ],
)
def test_a_wrong_network_is_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(StudioError, match=words):
        ClassUNetConfig(**settings)  # type: ignore[arg-type]
