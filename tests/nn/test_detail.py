"""Energy of detail: the same wherever the detail lies, and a grid of pixels is not taken for grain."""

import pytest
import torch
from torch import Tensor

from xray_generator.nn.detail import band_energy, lattice_bias, local_energy, mean_l1
from xray_generator.nn.grid import LATTICE


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def checkerboard(side: int) -> Tensor:
    places = torch.arange(side)
    return ((-1.0) ** (places[:, None] + places))[None, None]


def test_bands_are_those_of_white_noise_and_zero_without_detail() -> None:
    found = band_energy(drawn(1, 1, 256, 256))
    assert [energy.shape[1] for energy in found] == [3, 3, 3]
    for scale, energy in enumerate(found):  # of unit noise each band has unit size, halved by each mean of 2 x 2
        assert energy.mean(dim=(0, 2, 3)).tolist() == pytest.approx([0.5**scale] * 3, rel=0.06)
    assert all(energy.max() < 0.01 for energy in band_energy(torch.ones(1, 1, 64, 64)))


def test_energy_is_the_local_strength_of_detail_wherever_it_lies() -> None:
    grain, other = 0.1 * drawn(1, 1, 64, 64), 0.1 * drawn(1, 1, 64, 64, seed=1)
    for ours, theirs, none in zip(*map(local_energy, (grain, other, torch.zeros_like(grain))), strict=True):
        assert abs(float(ours.mean() / theirs.mean()) - 1) < 0.1
        assert float(none.max()) < 0.01 < float(ours.min())


def test_energy_tells_a_grid_from_grain_of_the_same_laplacian() -> None:
    grain = 0.1 * drawn(1, 1, 128, 128)
    size = local_energy(grain)[0].mean() / local_energy(checkerboard(128))[0].mean()
    grid = size * checkerboard(128)
    assert (local_energy(grid)[0].mean() - local_energy(grain)[0].mean()).abs() < 1e-3
    vertical, horizontal, diagonal = (float(value) for value in band_energy(grid)[0].mean(dim=(0, 2, 3)))
    assert vertical < 0.01 and horizontal < 0.01 and diagonal > 0.1
    moved = torch.roll(grain, (3, 5), (2, 3))
    other = 0.1 * drawn(1, 1, 128, 128, seed=1)
    for same in (moved, other):
        assert mean_l1(band_energy(same), band_energy(grain)) < 0.3 * mean_l1(band_energy(grid), band_energy(grain))


def test_lattice_bias_sees_what_repeats_with_the_latents_only() -> None:
    dots = torch.zeros(1, 1, LATTICE, LATTICE)
    dots[..., 3, 5] = 1.0
    assert lattice_bias(dots.repeat(1, 1, 8, 8)) == pytest.approx(1 / LATTICE**2)
    grain = drawn(1, 1, 256, 256)
    assert lattice_bias(grain) == pytest.approx((2 / torch.pi) ** 0.5 / 16, rel=0.3)  # a mean of 256 draws
    for period in (2, 4, 8, 16):
        grid = grain[..., :period, :period].repeat(1, 1, 256 // period, 256 // period)
        assert lattice_bias(grain) < 0.2 * lattice_bias(grid)
