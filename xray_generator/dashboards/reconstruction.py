"""What a checkpoint's autoencoder keeps of real images: copies, differences, similarity, and the latents between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray_generator.abilities import Autoencoding, ClassAutoencoding
from xray_generator.data.rows import Row, evenly
from xray_generator.evaluation.autoencoding import encode_and_decode
from xray_generator.evaluation.image_quality import compare_pairs
from xray_generator.evaluation.image_sets import ImageSet, from_rows
from xray_generator.evaluation.records import Measurement
from xray_generator.images import resize_square
from xray_generator.types import Engine, Image

GAIN = 8.0  # of the difference map: what is smaller than 1 / 255 of the range stays dark
LATENT_PX = 128  # least side at which a latent channel is shown


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """One image and its copy through the autoencoder."""

    name: str
    original: Image
    copy: Image
    difference: Image  # gain times |copy - original|, cut off at 1
    gain: float
    latents: tuple[Image, ...]  # a channel each, least value black and greatest white
    measurements: tuple[Measurement, ...]  # mse, ssim, psnr


@dataclass(frozen=True, slots=True, eq=False)
class Reconstructions:
    """Several of them, and the measures over all."""

    items: tuple[Reconstruction, ...]
    measurements: tuple[Measurement, ...]
    latent_shape: tuple[int, int, int]  # channels, height, width
    skipped: tuple[str, ...]  # images that could not be read


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


def reconstruct(engine: Engine, images: ImageSet) -> Reconstructions | None:
    """Encode and decode images, and compare; None where the engine's family has no autoencoder.

    Raises:
        StudioError: an image is of a class that the engine does not know.
    """
    from xray_generator.devices import set_threads

    if not isinstance(engine, (Autoencoding, ClassAutoencoding)):
        return None
    set_threads()  # as for a generation: torch keeps them for each thread of a process
    latents, copied = zip(*encode_and_decode(engine, images), strict=True)
    copies, channels = ImageSet("copies", np.stack(copied)), np.stack(latents)
    items = tuple(_item(images, copies, i, channels[i]) for i in range(len(images)))
    shape = (int(channels.shape[1]), int(channels.shape[2]), int(channels.shape[3]))
    return Reconstructions(items, tuple(_compare(copies, images)), shape, images.skipped)


def _item(images: ImageSet, copies: ImageSet, i: int, channels: NDArray[np.float32]) -> Reconstruction:
    original, copy = images.images[i], copies.images[i]
    difference = np.clip(np.abs(copy - original) * GAIN, 0, 1).astype(np.float32)
    measured = _compare(copies.take([i]), images.take([i]))
    return Reconstruction(
        images.names[i], original, copy, difference, GAIN, tuple(map(_gray, channels)), tuple(measured)
    )


def _compare(copies: ImageSet, images: ImageSet) -> list[Measurement]:
    return compare_pairs(copies, images, np.random.default_rng(0))


def _gray(channel: NDArray[np.float32]) -> Image:
    """A channel between its least and greatest value, every position a square of pixels."""
    low, high = float(channel.min()), float(channel.max())
    scaled = (channel - low) / max(high - low, 1e-12)
    return np.kron(scaled, np.ones((max(1, LATENT_PX // min(channel.shape)),) * 2)).astype(np.float32)
