"""The flow in closed form, and a network that treats every place of an image alike."""

import pytest
import torch
from torch import Tensor, nn

from xray_generator.nn.degradation import Degradation
from xray_generator.nn.enlarger import build_enlarger, level_values
from xray_generator.nn.network_configs import EnlargerConfig
from xray_generator.nn.residual_flow import ResidualFlow, Statistics, carry, make_condition, target, velocity

LEVELS = level_values(2.0, Degradation())[None]
STATISTICS = Statistics((1.0, 0.1, 0.2), -2.0)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model() -> ResidualFlow:
    """Every weight drawn, those too that begin at zero."""
    network = build_enlarger(EnlargerConfig((8, 16), (1, 2), 16)).eval()
    generator = torch.Generator().manual_seed(0)
    for value in network.parameters():
        nn.init.normal_(value, std=0.3, generator=generator)
    return ResidualFlow(network, STATISTICS)


@pytest.mark.parametrize("sigma", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_output_is_of_unit_variance_and_gives_the_velocity(sigma: float) -> None:
    residual, noise = drawn(200_000), drawn(200_000, seed=1)
    noisy = (1 - sigma) * residual + sigma * noise
    output = target(residual, noise, torch.tensor(sigma))
    assert output.std() == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(velocity(output, noisy, sigma), noise - residual, atol=1e-4, rtol=0)
    if sigma:  # the output tells nothing that x tells
        assert torch.corrcoef(torch.stack([output, noisy]))[0, 1].abs() < 0.01


def test_steps_keep_the_size_of_a_residual_of_which_nothing_is_known() -> None:
    """White noise of unit variance stays so at every noise level, however long the steps; by Euler half is lost."""
    x, nothing = drawn(100_000), torch.zeros(100_000)
    euler = x
    for sigma, following in ((1.0, 0.75), (0.75, 0.5), (0.5, 0.25)):
        euler = euler + (following - sigma) * velocity(nothing, euler, sigma)
        x = carry(nothing, x, sigma, following)
        assert x.var() == pytest.approx((1 - following) ** 2 + following**2, rel=0.02)
    assert euler.var() < 0.6 * x.var()


def test_short_steps_follow_the_velocity() -> None:
    output, x = drawn(1_000), drawn(1_000, seed=1)
    for sigma in (0.9, 0.5, 0.1):
        moved = (carry(output, x, sigma, sigma - 1e-3) - x) / -1e-3
        torch.testing.assert_close(moved, velocity(output, x, sigma), rtol=1e-2, atol=1e-2)


class KnownImage(nn.Module):
    """The perfect network where there is one residual only."""

    def __init__(self, residual: Tensor) -> None:
        super().__init__()
        self.residual = residual

    def forward(self, images: Tensor, sigma: Tensor, _levels: Tensor) -> Tensor:
        level = sigma[:, None, None, None]
        noise = (images[:, :1] - (1 - level) * self.residual) / level
        return target(self.residual, noise, level)


@pytest.mark.parametrize("num_steps", [1, 3, 8])
def test_sampling_ends_at_the_image_where_only_one_fits(num_steps: int) -> None:
    residual, enlarged, seen = drawn(1, 1, 32, 32), 0.1 * drawn(1, 1, 32, 32, seed=1), []
    model = ResidualFlow(KnownImage(residual), STATISTICS)  # type: ignore[arg-type]
    condition = make_condition(enlarged, LEVELS, STATISTICS)
    image = model.sample(condition, drawn(1, 1, 32, 32, seed=2), num_steps, lambda *step: seen.append(step))
    torch.testing.assert_close(image, enlarged + condition.scale * residual, atol=1e-5, rtol=0)
    assert [step[:2] for step in seen] == [(i + 1, num_steps) for i in range(num_steps)]
    for _, _, estimate in seen:
        torch.testing.assert_close(estimate(), image, atol=1e-5, rtol=0)


def test_untrained_network_leaves_the_enlarged_image_as_it_is() -> None:
    model = ResidualFlow(build_enlarger(EnlargerConfig((8, 16), (1, 1), 16)), STATISTICS)
    enlarged = 0.1 * drawn(1, 1, 32, 48)
    made = model.sample(make_condition(enlarged, LEVELS, STATISTICS), drawn(1, 1, 32, 48), 1)
    assert torch.equal(made, enlarged)


def test_network_treats_every_place_alike(model: ResidualFlow) -> None:
    noisy, enlarged = drawn(1, 1, 160, 144), 0.2 * drawn(1, 1, 160, 144, seed=1)
    sigma = torch.tensor([0.7])
    whole = model.predict(noisy, make_condition(enlarged, LEVELS, STATISTICS), sigma)
    part = model.predict(noisy[..., 16:, 16:], make_condition(enlarged[..., 16:, 16:], LEVELS, STATISTICS), sigma)
    assert whole.std() > 0.01
    torch.testing.assert_close(part[..., 64:80, 64:80], whole[..., 80:96, 80:96], atol=1e-4, rtol=1e-3)


def test_network_heeds_noise_level_ratio_and_degradation(model: ResidualFlow) -> None:
    noisy, enlarged = drawn(1, 1, 32, 32), 0.2 * drawn(1, 1, 32, 32, seed=1)
    outputs = [
        model.predict(
            noisy, make_condition(enlarged, level_values(factor, degradation)[None], STATISTICS), torch.tensor([sigma])
        )
        for sigma, factor, degradation in (
            (1.0, 2.0, Degradation()),
            (0.5, 2.0, Degradation()),
            (1.0, 1.5, Degradation()),
            (1.0, 2.0, Degradation(noise=0.02)),
            (1.0, 2.0, Degradation(blur=1.0)),
        )
    ]
    assert all((outputs[0] - other).abs().max() > 1e-4 for other in outputs[1:])


def test_scale_follows_local_detail_and_levels() -> None:
    """Left half of small detail, right half of large: the expected residual is as many times larger there."""
    grain = drawn(1, 1, 128, 128)
    enlarged = torch.cat([0.02 * grain, 0.2 * grain], dim=-1)
    condition = make_condition(enlarged, LEVELS, STATISTICS)
    left, right = condition.scale[..., 24:104], condition.scale[..., 152:232]
    assert float(right.mean() / left.mean()) == pytest.approx(10, rel=0.02)
    assert condition.detail[..., 24:104].std() == pytest.approx(1, abs=0.02)
    larger = make_condition(enlarged, level_values(4.0, Degradation(noise=0.04, blur=1.0))[None], STATISTICS)
    more = STATISTICS.weights[0] + 2 * STATISTICS.weights[1] + STATISTICS.weights[2]
    torch.testing.assert_close(larger.scale, condition.scale * torch.tensor(more).exp())
    assert Statistics.from_json(STATISTICS.to_json()) == STATISTICS
