"""LPIPS with weights of a tiny VGG-16 in the files' own layout, against its formula."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from xray_generator.evaluation.lpips import CHANNELS_FILE, LEVELS, VGG_FILE, load_lpips
from xray_generator.types import StudioError

WIDTHS = (3, 4, 6, 8, 8)


def make_vgg() -> nn.Sequential:
    """VGG-16's layers in torchvision's order, narrower, with random weights."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    before = 3
    for width, level in zip(WIDTHS, LEVELS, strict=True):
        for _ in level:
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            before = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.save({f"features.{name}": value for name, value in make_vgg().state_dict().items()}, tmp_path / VGG_FILE)
    channels = {f"lin{i}.model.1.weight": torch.rand(1, width, 1, 1) for i, width in enumerate(WIDTHS)}
    torch.save(channels, tmp_path / CHANNELS_FILE)
    return tmp_path


def test_it_is_the_formula_over_the_layers_of_the_network(folder: Path) -> None:
    rng = np.random.default_rng(0)
    images, others = rng.random((2, 5, 32, 32), np.float32)
    vgg, channels = make_vgg(), torch.load(folder / CHANNELS_FILE, weights_only=True)
    expected = np.zeros(5)
    pair = []
    for some in (images, others):
        x = torch.from_numpy(some)[:, None].repeat(1, 3, 1, 1) * 2 - 1
        shift, scale = torch.tensor([[-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]])[:, :, None, None]
        x, found = (x - shift) / scale, []
        with torch.no_grad():
            for place, layer in enumerate(vgg):
                x = layer(x)
                if place in [level[-1] + 1 for level in LEVELS]:
                    found.append(nn.functional.normalize(x, dim=1))
        pair.append(found)
    for i, (a, b) in enumerate(zip(*pair, strict=True)):
        weighted = (channels[f"lin{i}.model.1.weight"] * (a - b) ** 2).sum(dim=1)
        expected += weighted.mean(dim=(1, 2)).numpy()
    lpips = load_lpips(folder)
    np.testing.assert_allclose(lpips(images, others), expected, rtol=1e-4)
    np.testing.assert_allclose(lpips(others, images), expected, rtol=1e-4)
    assert lpips(images, images).max() == 0 and lpips(images[:0], images[:0]).shape == (0,)


def test_weights_that_are_missing_or_of_another_network_are_named(folder: Path) -> None:
    torch.save({"features.0.weight": torch.ones(1)}, folder / VGG_FILE)
    with pytest.raises(StudioError, match="another network"):
        load_lpips(folder)
    (folder / CHANNELS_FILE).unlink()
    with pytest.raises(StudioError, match="not on this machine, and nothing is downloaded"):
        load_lpips(folder)
