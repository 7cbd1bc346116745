"""What an autoencoder keeps of real images: reconstructions, differences, similarity, and the latents in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from xray_generator.abilities import Autoencoding
from xray_generator.data.fitting import FittedImage, fit_square
from xray_generator.data.rows import Row, evenly
from xray_generator.evaluation.autoencoding import encode_and_decode
from xray_generator.evaluation.image_quality import compare_pairs
from xray_generator.evaluation.image_sets import ImageSet, from_rows
from xray_generator.evaluation.records import Measurement
from xray_generator.generation import require
from xray_generator.images import from_tensor, resize_square, to_tensor
from xray_generator.types import Engine, Image, OnStep, no_report

GAIN = 8.0  # of the difference map: what is smaller than 1 / 255 of the range stays dark
LATENT_PX = 128  # least side at which a latent channel is shown
MIN_CONTENT = 16  # pixels: SSIM looks at 11 at once
LACK = "has no autoencoder"


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """One image and its reconstruction by the autoencoder."""

    name: str
    original: Image
    reconstruction: Image
    difference: Image  # GAIN |reconstruction - original|, clipped at 1
    latents: tuple[Image, ...]  # one image a channel, from its least value (black) to its greatest (white)
    measurements: tuple[Measurement, ...]  # mse, ssim, psnr


@dataclass(frozen=True, slots=True, eq=False)
class Reconstructions:
    """Several of them, and the measures over all."""

    items: tuple[Reconstruction, ...]
    measurements: tuple[Measurement, ...]
    latent_shape: tuple[int, int, int]  # channels, height, width
    skipped: tuple[str, ...]  # images that could not be read


@dataclass(frozen=True, slots=True, eq=False)
class ClassReconstruction:
    """One image encoded as its class, and decoded as that class and as each other one."""

    original: Image  # padded to a square of the model's size
    reconstruction: Image
    difference: Image  # GAIN |reconstruction - original|, clipped at 1
    label: str
    others: dict[str, Image]  # the same latents, by the class they were decoded as
    measurements: tuple[Measurement, ...]  # mse, ssim, psnr, over the image without its padding
    latents: NDArray[np.float32]  # (C, h, w)


def pick_images(rows: Sequence[Row], size: int, count: int, first: int = 0) -> ImageSet:
    """`count` images of rows from place `first` on, evenly spread over those that reach `size` by themselves.

    Where no image does, over all; unreadable ones are listed in `skipped`.
    """
    sharp = [row for row in rows if row.native_size == 0 or row.native_size >= size] or list(rows)
    start = first % len(sharp) if sharp else 0
    return from_rows(evenly(sharp[start:] + sharp[:start], count), size, "real")


def single_image(image: Image, size: int, name: str) -> ImageSet:
    """An image of any size as the autoencoder takes it: short side to `size`, center crop."""
    return ImageSet("real", resize_square(image, size)[None], names=(name,))


def reconstruct(engine: Engine, images: ImageSet, on_step: OnStep | None = None) -> Reconstructions:
    """Encode and decode images, each given the class of its row where there is one, and compare.

    Raises:
        StudioError: an image is of a class that the engine does not know, or the engine has no autoencoder.
    """
    able = require(engine, Autoencoding, LACK)
    latents: list[NDArray[np.float32]] = []
    decoded: list[Image] = []
    for i, (latent, image) in enumerate(encode_and_decode(able, images)):
        latents.append(latent)
        decoded.append(image)
        (on_step or no_report)(i + 1, len(images), partial(decoded.__getitem__, i))
    reconstructions = ImageSet("reconstructions", np.stack(decoded))
    items = tuple(
        Reconstruction(
            images.names[i],
            images.images[i],
            decoded[i],
            _difference(images.images[i], decoded[i]),
            tuple(map(_to_image, latents[i])),
            _compare(reconstructions.take([i]), images.take([i])),
        )
        for i in range(len(images))
    )
    return Reconstructions(items, _compare(reconstructions, images), latents[0].shape, images.skipped)


def reconstruct_as_classes(
    engine: Engine, image: Image, label: str, labels: Sequence[str], on_step: OnStep | None = None
) -> ClassReconstruction:
    """Encode an image (H, W) of any shape as one of a class, and decode it as that class and each of `labels`.

    Raises:
        StudioError: the class is unknown, or the engine has no autoencoder.
    """
    able = require(engine, Autoencoding, LACK)
    fitted = fit_square(image, max(engine.manifest.sizes))
    latents = able.encode(to_tensor(fitted.image[None]), label)
    decoded: dict[str, Image] = {}
    names = (label, *(other for other in labels if other != label))
    for step, name in enumerate(names, start=1):
        (decoded[name],) = from_tensor(able.decode(latents, name))
        (on_step or no_report)(step, len(names), partial(decoded.__getitem__, name))
    own = decoded.pop(label)
    difference, numbers = _difference(fitted.image, own), latents[0].float().cpu().numpy()
    return ClassReconstruction(fitted.image, own, difference, label, decoded, _compare_content(fitted, own), numbers)


def _difference(original: Image, reconstruction: Image) -> Image:
    return np.asarray(np.clip(np.abs(reconstruction - original) * GAIN, 0, 1), np.float32)


def _compare(reconstructions: ImageSet, originals: ImageSet) -> tuple[Measurement, ...]:
    return tuple(compare_pairs(reconstructions, originals, np.random.default_rng(0)))


def _compare_content(fitted: FittedImage, reconstruction: Image) -> tuple[Measurement, ...]:
    """The measures over the image alone, or over the whole square where the image is too narrow for them."""
    is_narrow = min(fitted.height, fitted.width) < MIN_CONTENT
    inside = (slice(None), slice(None)) if is_narrow else fitted.box
    return _compare(
        ImageSet("reconstruction", reconstruction[inside][None]), ImageSet("original", fitted.image[inside][None])
    )


def _to_image(channel: NDArray[np.float32]) -> Image:
    """A channel scaled to [0, 1], every position a square of pixels."""
    low, high = float(channel.min()), float(channel.max())
    scaled = (channel - low) / max(high - low, 1e-12)
    return np.kron(scaled, np.ones((max(1, LATENT_PX // min(channel.shape)),) * 2)).astype(np.float32)
