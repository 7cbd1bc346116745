"""Grain: its bands, its strength against noise of known strength, and where it says nothing."""

import math

import pytest
import torch
from torch import Tensor

from xray_generator.nn.grain import FLOOR, Grain, band_coupling, bands

INNER = (..., slice(48, -48), slice(48, -48))  # where no reflected edge reaches


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_bands_add_up_to_the_image_less_its_coarsest_part() -> None:
    flat = torch.full((1, 1, 64, 64), 0.7)
    torch.testing.assert_close(bands(flat), torch.zeros(1, 4, 64, 64), atol=1e-6, rtol=0)
    fine = (torch.arange(64) % 2 * 2.0 - 1).expand(1, 1, 64, 64)  # one pixel light, one dark
    shares = bands(fine).square().mean(dim=(0, 2, 3))
    assert shares.argmax() == 0
    torch.testing.assert_close(bands(fine).sum(1, keepdim=True), fine, atol=2e-3, rtol=0)


def test_energies_are_those_of_what_is_drawn() -> None:
    """The overlap of the bands is counted: strengths of any proportion give the energies that were promised."""
    grain = Grain(8, 1)
    images = torch.zeros(16, 1, 192, 192)
    for strengths in ((0.3, 0.02, 0.1, 0.05), (0.01, 0.2, 0.01, 0.1)):
        with torch.no_grad():
            grain.network[-1].bias.copy_(torch.tensor([math.log(math.expm1(s / 0.3)) for s in strengths]))
            drawn = (grain.strengths(images) * bands(noise(16, 1, 192, 192))).sum(1, keepdim=True)
            found = bands(drawn)[INNER].square().mean(dim=(0, 2, 3))
            torch.testing.assert_close(grain.energies(images)[0, :, 0, 0], found + FLOOR, rtol=0.06, atol=0)


def test_coupling_is_the_energy_of_white_noise_in_two_bands() -> None:
    coupling = band_coupling()
    assert coupling.shape == (4, 4, 4)
    torch.testing.assert_close(coupling, coupling.transpose(1, 2))
    white = bands(noise(8, 1, 256, 256))
    once = torch.cat([bands(white[:, b : b + 1])[INNER][:, None] for b in range(4)], dim=1)  # (N, b, a, h, w)
    measured = torch.einsum("nbahw,ncahw->abc", once, once) / once[:, 0, 0].numel()
    torch.testing.assert_close(coupling, measured, atol=2e-3, rtol=0.05)


@pytest.mark.parametrize("dark", [0.02, 0.1])
def test_learns_the_strength_of_noise_where_it_is(dark: float) -> None:
    """Left half dark with weak noise, right half light with strong noise: it finds both within a quarter."""
    torch.manual_seed(0)
    grain, smooth = Grain(8, 1), torch.full((4, 1, 64, 64), -0.5)
    smooth[..., 32:] = 0.5
    strength = torch.where(smooth < 0, dark, 0.2)
    optimizer = torch.optim.AdamW(grain.parameters(), 0.02)
    for step in range(120):
        loss = grain.negative_log_likelihood(smooth, strength * noise(4, 1, 64, 64, seed=step)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        added = grain.draw(smooth, noise(4, 1, 64, 64, seed=999)) - smooth
    found = [bands(added)[..., part].square().mean(dim=(0, 2, 3)).sqrt() for part in (slice(8, 24), slice(40, 56))]
    truth = bands(noise(64, 1, 64, 64)).square().mean(dim=(0, 2, 3)).sqrt()
    for ours, level in zip(found, (dark, 0.2), strict=True):
        torch.testing.assert_close(ours[:2], level * truth[:2], rtol=0.25, atol=0)


def test_draws_stay_in_range_and_follow_the_noise() -> None:
    grain, image = Grain(8, 1), torch.full((1, 1, 32, 32), 0.99)
    drawn = grain.draw(image, noise(1, 1, 32, 32))
    assert drawn.max() <= 1 and drawn.shape == image.shape
    assert torch.equal(drawn, grain.draw(image, noise(1, 1, 32, 32)))
    assert not torch.equal(drawn, grain.draw(image, noise(1, 1, 32, 32, seed=1)))
    torch.testing.assert_close(grain.draw(image, torch.zeros(1, 1, 32, 32)), image)
