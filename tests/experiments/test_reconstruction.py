"""What the autoencoders of real small models keep of images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from xray_generator.data.read import read_dataset
from xray_generator.experiments.reconstruction import GAIN, pick_images, reconstruct, single_image
from xray_generator.studio import Studio
from xray_generator.types import StudioError


def test_a_reconstruction_is_the_autoencoders_own(tiny_checkpoint: Path, dataset_folder: Path) -> None:
    engine, steps = Studio(tiny_checkpoint, "cpu").engine(), []
    images = pick_images(read_dataset(dataset_folder).split("test"), 64, 3)
    found = reconstruct(engine, images, lambda step, total, preview: steps.append((step, total, preview().shape)))
    assert steps == [(i, 3, (64, 64)) for i in (1, 2, 3)]
    assert found.latent_shape == (4, 8, 8) and len(found.items) == 3
    batch = torch.from_numpy(images.images)[:, None] * 2 - 1
    with torch.no_grad():
        latents = engine.model.autoencoder.encode(batch).mean
        decoded = engine.model.autoencoder.decode(latents).clamp(-1, 1)[:, 0].numpy() / 2 + 0.5
    psnr = [peak_signal_noise_ratio(a, b, data_range=1.0) for a, b in zip(images.images, decoded, strict=True)]
    for i, item in enumerate(found.items):
        measured = {m.measure: m.value for m in item.measurements}
        assert measured["psnr"] == pytest.approx(psnr[i], abs=1e-3) and item.name == images.names[i]
        expected = np.clip(abs(item.reconstruction - item.original) * GAIN, 0, 1)
        np.testing.assert_allclose(item.difference, expected, atol=1e-6)
        assert all(latent.min() == 0 and latent.max() == 1 and min(latent.shape) >= 128 for latent in item.latents)
    (mean,) = (m for m in found.measurements if m.measure == "psnr")
    assert mean.value == pytest.approx(np.mean(psnr), abs=1e-3) and mean.n == 3


def test_a_flow_has_no_autoencoder(tiny_ct_checkpoint: Path) -> None:
    with pytest.raises(StudioError, match="tiny_ct has no autoencoder"):
        reconstruct(Studio(tiny_ct_checkpoint, "cpu").engine(), single_image(np.zeros((64, 64), np.float32), 32, "x"))


def test_images_are_spread_and_others_follow(dataset_folder: Path) -> None:
    rows = read_dataset(dataset_folder).split("test")
    first, second = (pick_images(rows, 256, 4, place) for place in (0, 1))
    assert len(set(first.names)) == 4 and set(first.names) != set(second.names)
    assert all(row.native_size == 0 or row.native_size >= 256 for row in first.rows)
    assert len(pick_images(rows[:2], 256, 8)) == 2
    assert single_image(np.zeros((90, 50), np.float32), 32, "x").images.shape == (1, 32, 32)
