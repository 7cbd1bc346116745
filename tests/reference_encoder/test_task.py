"""What trains the encoder: the augmentation, the mask of what nobody said, the packed films."""

from pathlib import Path

import numpy as np
import pytest
import torch

from xray_generator.data.read import read_dataset
from xray_generator.images import resize_square, to_uint8
from xray_generator.reference_encoder.manifest import EncoderShape
from xray_generator.reference_encoder.model import build_network
from xray_generator.reference_encoder.task import EncoderLoss, PackedImages, augment, pack_images
from xray_generator.reference_encoder.training import _temperature
from xray_generator.training.task import Draw, step_generator

SHAPE = EncoderShape(32, 8, (8, 16), (1, 1))


def film(side: int = 64) -> torch.Tensor:
    """Bright on the left, dark on the right."""
    return torch.linspace(1, 0, side).expand(64, 1, side, side).contiguous()


def test_augmentation_is_a_function_of_its_generator_and_never_mirrors() -> None:
    first, again, other = (augment(film(), step_generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 1
    assert len({tuple(image.flatten()[:50].tolist()) for image in first}) == 64  # each film its own
    left, right = first[..., :24].mean(dim=(1, 2, 3)), first[..., -24:].mean(dim=(1, 2, 3))
    assert (left > right).all()


def test_what_has_no_upright_is_turned_to_any_side_and_never_mirrored() -> None:
    """A bright quarter with a dot that stands clockwise of it: so it stays, wherever they are turned."""
    image = torch.zeros(64, 64)
    x, y = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="xy")
    image[torch.hypot(x - 31.5, y - 12) < 6] = 0.5  # above
    image[torch.hypot(x - 51, y - 31.5) < 6] = 1.0  # to the right: a quarter clockwise on the screen
    turned = augment(image.expand(64, 1, 64, 64), step_generator(3), "any_orientation")[:, 0]
    far = torch.hypot(x - 31.5, y - 31.5) < 30
    bright = turned * far * (turned > 0.72 * turned.amax(dim=(1, 2), keepdim=True))
    dim = turned * far * (turned <= 0.72 * turned.amax(dim=(1, 2), keepdim=True)) * (turned > 0.25)
    angles = [torch.atan2((part * (y - 31.5)).sum((1, 2)), (part * (x - 31.5)).sum((1, 2))) for part in (dim, bright)]
    between = torch.remainder(angles[1] - angles[0], 2 * torch.pi)
    assert (between < torch.pi).float().mean() > 0.95, "clockwise on the screen, where y points down"
    assert torch.histc(angles[0], 4, -torch.pi, torch.pi).min() > 5, "to every side"


def test_unknown_labels_teach_nothing() -> None:
    torch.manual_seed(0)
    loss = EncoderLoss(build_network(SHAPE, ("a", "b", "c")))
    images = torch.randint(0, 256, (4, 1, 32, 32), dtype=torch.uint8)
    known = torch.tensor([[1, float("nan"), float("nan")], [0, float("nan"), 1]] * 2)
    value = loss({"images": images, "targets": known}, step_generator(0))["loss"]
    value.backward()
    head = loss.network.classifier[1]
    assert value.isfinite()
    assert head.weight.grad[1].abs().max() == 0
    assert head.weight.grad[0].abs().max() > 0
    nothing = loss({"images": images, "targets": torch.full((4, 3), float("nan"))}, step_generator(0))["loss"]
    assert nothing == 0


def test_packed_images_are_read_once(dataset_folder: Path, tmp_path: Path) -> None:
    rows = read_dataset(dataset_folder).split("val")[:6]
    packed = pack_images(rows, 32, tmp_path)
    assert packed.shape == (6, 32, 32)
    assert np.array_equal(packed[0], to_uint8(resize_square(rows[0].image(), 32)))
    (file,) = tmp_path.glob("*.npy")
    file_time = file.stat().st_mtime_ns
    assert np.array_equal(pack_images(rows, 32, tmp_path), packed)
    assert file.stat().st_mtime_ns == file_time
    assert len(pack_images(rows[:3], 32, tmp_path)) == 3
    assert len(pack_images([], 32, tmp_path)) == 0
    item = PackedImages(packed, np.ones((6, 2), np.float32))[Draw(2, 0)]
    assert np.array_equal(item["images"][0].numpy(), packed[2])


def test_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, 20_000)
    truth = (rng.random(20_000) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    assert _temperature(3 * logits, truth) == pytest.approx(3, rel=0.1)
    assert _temperature(logits, np.ones(20_000, np.float32)) == 1
