"""Images through the autoencoder of an engine: their latents, and the copies that come of these."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from xray_generator.abilities import Autoencoding, ClassAutoencoding
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.images import from_tensor, to_tensor
from xray_generator.types import Image


def latents_and_copies(
    engine: Autoencoding | ClassAutoencoding, images: ImageSet
) -> Iterator[tuple[NDArray[np.float32], Image]]:
    """Each image's latents (C, h, w) and its copy (H, W), told the class of its row where the engine heeds one.

    Raises:
        StudioError: a class that the engine does not know.
    """
    for i, image in enumerate(images.images):
        given = to_tensor(image[None])
        if isinstance(engine, Autoencoding):
            latents = engine.encode(given)
            copies = engine.decode(latents)
        else:
            label = (images.rows[i].label or None) if images.rows else None
            latents = engine.encode(given, label)
            copies = engine.decode(latents, label)
        yield latents[0].float().cpu().numpy(), from_tensor(copies)[0]
