"""Copies of images by an engine that heeds their class, each told its own."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from xray_generator.data.rows import Row
from xray_generator.evaluation.autoencoding import encode_and_decode
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.types import StudioError


class Shades:
    """A class-conditional autoencoder of flat images: an image less the shade of its class, and back."""

    def __init__(self) -> None:
        self.shades = {"dark": -0.5, "light": 0.5, None: 0.0}

    def encode(self, images: Tensor, label: str | None) -> Tensor:
        if label not in self.shades:
            raise StudioError(f"no class {label!r}")
        return torch.nn.functional.avg_pool2d(images, 16) - self.shades[label]

    def decode(self, latents: Tensor, label: str | None) -> Tensor:
        return torch.nn.functional.interpolate(latents + self.shades[label], scale_factor=16)


def shades(labels: Sequence[str]) -> ImageSet:
    images = np.stack([np.full((32, 32), 0.2 + 0.1 * i, np.float32) for i in range(len(labels))])
    return ImageSet("real", images, tuple(Row(Path(f"{label}.png"), "", (), label=label) for label in labels))


def test_each_image_is_encoded_with_the_class_of_its_row() -> None:
    images = shades(("dark", "light", ""))
    found = list(encode_and_decode(Shades(), images))
    for (latents, copy), image, shade in zip(found, images.images, (-0.5, 0.5, 0.0), strict=True):
        assert latents.shape == (1, 2, 2)
        np.testing.assert_allclose(latents, 2 * image[0, 0] - 1 - shade, atol=1e-6)
        np.testing.assert_allclose(copy, image, atol=1e-6)
    bare = list(encode_and_decode(Shades(), ImageSet("real", images.images)))
    np.testing.assert_allclose(bare[0][0], 2 * 0.2 - 1, atol=1e-6)


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(StudioError, match="no class 'square'"):
        list(encode_and_decode(Shades(), shades(("square",))))
