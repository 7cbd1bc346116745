"""Test of the memorization audit: it must find planted copies of training images, and not flag unseen real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np

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
CROP = (0.8, 0.95)  # share of each side that is kept
GAMMA, GAIN, OFFSET = (0.7, 1.4), (0.75, 1.1), (-0.05, 0.15)


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


KINDS: Mapping[str, Change] = MappingProxyType(
    {
        "exact": lambda image, _: image,
        "flipped": lambda image, _: image[:, ::-1],
        "brightened": brightened,
        "cropped": cropped,
    }
)


def self_test(
    held_out: ImageSet, training: TrainingSet, extractor: Extractor, rng: np.random.Generator, split: str = ""
) -> list[Measurement]:
    """Share of flagged images among planted copies, overall and by kind, and among unseen real images.

    Each tenth of the unseen real images is compared with the threshold of the other nine.

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
    threshold, kinds = calibrate(near), dict(KINDS)
    if training.turns > 1:
        kinds["turned"] = lambda image, rng: np.rot90(image, int(rng.integers(1, 4)))
    found = {
        kind: threshold.is_copy(nearest(copies, training, extractor))
        for kind, change in kinds.items()
        for copies in [np.stack([change(image, rng) for image in originals.images])]
    }
    common: dict[str, Any] = {"split": split, "extractor": f"pixels and {extractor.name}"}
    every = np.concatenate(list(found.values()))
    return [
        Measurement("copies_found", float(flags.mean()), len(flags), rate_interval(flags), condition=kind, **common)
        for kind, flags in {"": every, **found}.items()
    ] + [Measurement("false_alarms", float(alarms.mean()), len(alarms), rate_interval(alarms), **common)]
