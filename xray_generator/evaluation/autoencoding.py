"""Images through the autoencoder of an engine: their latents and their reconstructions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from xray_generator.abilities import Autoencoding
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.images import from_tensor, to_tensor
from xray_generator.types import Image


def encode_and_decode(engine: Autoencoding, images: ImageSet) -> Iterator[tuple[NDArray[np.float32], Image]]:
    """Latents (C, h, w) and reconstruction (H, W) of each image, given the class of its row if the engine takes one.

    Raises:
        StudioError: a class that the engine does not know.
    """
    for i, image in enumerate(images.images):
        label = (images.rows[i].label or None) if images.rows else None
        latents = engine.encode(to_tensor(image[None]), label)
        yield latents[0].float().cpu().numpy(), from_tensor(engine.decode(latents, label))[0]
