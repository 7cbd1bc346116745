"""Similarity of an image to the nearest real one: squared difference, PSNR and SSIM, compared with unseen real images.

A generated image has no target, so these figures say how close it is to real ones and nothing about its quality. The
nearest real image is the one with the least squared difference between thumbnails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from xray_generator.evaluation.image_quality import compare_pairs
from xray_generator.evaluation.image_sets import ImageSet, from_rows
from xray_generator.evaluation.pixel_match import Thumbnails, thumbnails
from xray_generator.evaluation.records import Measurement
from xray_generator.evaluation.training_set import TrainingSet

MOST = 200  # images of each set that are compared
MEASURED = ("nearest_mse", "nearest_psnr", "nearest_ssim")
TRAINING, UNSEEN = "to training images", "to unseen images"


def measure_similarity(
    generated: ImageSet, unseen: ImageSet, training: TrainingSet, rng: np.random.Generator, split: str = ""
) -> list[Measurement]:
    """Similarity to the nearest training image, compared with unseen real images, and to the nearest unseen image.

    The larger of two sets holds the nearer images, so each figure states how many were searched.
    """
    ours, theirs = (images.take(rng.permutation(len(images))[:MOST]) for images in (generated, unseen))
    found = _to_training(ours, training, rng, split)
    yardstick = {m.measure: m.value for m in _to_training(theirs, training, rng, split)}
    beside = [replace(m, real=yardstick[m.measure], real_n=len(theirs)) for m in found]
    fellows = unseen.images[_nearest(ours, thumbnails(unseen.images))]
    return beside + _similarity(ours, fellows, rng, UNSEEN, split, len(unseen))


def _to_training(images: ImageSet, training: TrainingSet, rng: np.random.Generator, split: str) -> list[Measurement]:
    places = _nearest(images, training.thumbnails)
    chosen, position = np.unique(places, return_inverse=True)
    originals = from_rows([training.rows[i] for i in chosen], images.images.shape[-1], "training").images
    return _similarity(images, originals[position], rng, TRAINING, split, len(training.rows))


def _nearest(images: ImageSet, others: Thumbnails) -> NDArray[np.intp]:
    flat: Sequence[NDArray[np.float32]] = [
        part.reshape(len(part), -1).astype(np.float32) for part in (others, thumbnails(images.images))
    ]
    found = NearestNeighbors(n_neighbors=1).fit(flat[0]).kneighbors(flat[1], return_distance=False)
    return np.asarray(found[:, 0], np.intp)


def _similarity(
    images: ImageSet, nearest: NDArray[np.float32], rng: np.random.Generator, condition: str, split: str, searched: int
) -> list[Measurement]:
    pairs = compare_pairs(images, ImageSet("nearest", nearest), rng, condition, split)
    return [
        replace(m, measure=f"nearest_{m.measure}", extractor="64-pixel thumbnails", settings={"searched": searched})
        for m in pairs
    ]
