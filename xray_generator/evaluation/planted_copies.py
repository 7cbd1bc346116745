"""Does the copy audit work? Copies of training images are planted among the generated ones, and it must find them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from xray_generator.evaluation.features import Extractor
from xray_generator.evaluation.image_sets import ImageSet, from_rows
from xray_generator.evaluation.memorization import calibrate, nearest
from xray_generator.evaluation.records import Measurement
from xray_generator.evaluation.training_set import TrainingSet
from xray_generator.reference_encoder.metrics import rate_interval
from xray_generator.types import Image, StudioError

Change = Callable[[Image, np.random.Generator], Image]

NUM_FOLDS = 10
NUM_PLANTED = 50  # of each kind
CROP = (0.8, 0.95)  # of each side that is left
GAMMA, GAIN, OFFSET = (0.7, 1.4), (0.75, 1.1), (-0.05, 0.15)


def exact(image: Image, rng: np.random.Generator) -> Image:  # noqa: ARG001 - one signature for all
    """The image itself."""
    return image


def flipped(image: Image, rng: np.random.Generator) -> Image:  # noqa: ARG001
    """Left-right."""
    return image[:, ::-1]


def brightened(image: Image, rng: np.random.Generator) -> Image:
    """Another exposure: gamma, gain and offset, clipped."""
    changed = image ** rng.uniform(*GAMMA) * rng.uniform(*GAIN) + rng.uniform(*OFFSET)
    return np.asarray(np.clip(changed, 0, 1), np.float32)


def cropped(image: Image, rng: np.random.Generator) -> Image:
    """A window anywhere, enlarged to the whole."""
    height, width = image.shape
    share = rng.uniform(*CROP)
    top, left = (int(rng.uniform(0, 1 - share) * side) for side in (height, width))
    window = image[top : top + round(share * height), left : left + round(share * width)]
    return np.asarray(np.clip(cv2.resize(window, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1), np.float32)


def turned(image: Image, rng: np.random.Generator) -> Image:
    """By one to three quarters."""
    return np.rot90(image, int(rng.integers(1, 4)))


KINDS: Mapping[str, Change] = MappingProxyType(
    {"exact": exact, "flipped": flipped, "brightened": brightened, "cropped": cropped}
)


def self_test(
    held_out: ImageSet, training: TrainingSet, extractor: Extractor, rng: np.random.Generator, split: str = ""
) -> list[Measurement]:
    """Share of planted copies that are flagged, over all and by kind; and of real images that did not calibrate it.

    For these, each tenth of the unseen real images is judged by the threshold of the others.

    Raises:
        StudioError: fewer than 22 unseen real images: nine tenths must be 19, see `calibrate`.
    """
    near = nearest(held_out.images, training, extractor)
    alarms = np.zeros(len(held_out), np.bool_)
    for fold in np.array_split(rng.permutation(len(held_out)), NUM_FOLDS):
        others = np.setdiff1d(np.arange(len(held_out)), fold)
        alarms[fold] = calibrate(near.take(others)).is_copy(near.take(fold))
    size = held_out.images.shape[-1]
    originals = from_rows([training.rows[i] for i in rng.permutation(len(training.rows))[:NUM_PLANTED]], size, "")
    if not len(originals):
        raise StudioError("No training image can be read, so no copy can be planted.")
    threshold, kinds = calibrate(near), {**KINDS, **({"turned": turned} if training.turns > 1 else {})}
    found = {
        kind: threshold.is_copy(nearest(_plant(originals, change, rng), training, extractor))
        for kind, change in kinds.items()
    }
    common: dict[str, Any] = {"split": split, "extractor": f"pixels and {extractor.name}"}
    every = np.concatenate(list(found.values()))
    return [
        Measurement("copies_found", float(flags.mean()), len(flags), rate_interval(flags), condition=kind, **common)
        for kind, flags in {"": every, **found}.items()
    ] + [Measurement("false_alarms", float(alarms.mean()), len(alarms), rate_interval(alarms), **common)]


def _plant(originals: ImageSet, change: Change, rng: np.random.Generator) -> NDArray[np.float32]:
    return np.stack([change(image, rng) for image in originals.images])
