"""The training image that matches an image's pixels best: copied whole, mirrored, shifted, cropped or re-exposed.

What all chest X-rays have in common is smooth, so the smooth part (Gaussian, sigma 2 pixels) is subtracted; this also
cancels brightness. A coarse pass over 28 views of every training image, whole and cropped, selects candidates; a fine
pass slides the image over each at several scales (normalized cross-correlation, which cancels contrast).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from xray_generator.images import resize_square, to_uint8

Thumbnails = NDArray[np.uint8]  # (N, SIDE, SIDE)
Floats = NDArray[np.float32]

SIDE = 64
COARSE_SIDE, COARSE_CROPS = 16, (0.95, 0.875, 0.8)
FINE_SIDE, FINE_SCALES, MARGIN = 48, (1.0, 0.95, 0.9, 0.85, 0.8), 4
SIGMA = 2.0
CLIP = 3.0  # standard deviations: a marker or a cable must not dominate
NUM_CANDIDATES = 48
NUM_QUERIES, NUM_TRAINING = 512, 2_048  # at once: bounds the memory
MIN_CONTRAST = 1.0  # gray levels; a constant image matches nothing


@dataclass(frozen=True, slots=True)
class Match:
    """The best match of each of N images."""

    similarity: NDArray[np.float64]  # (N,) correlation at the best alignment; 1: a copy, 0: no common structure
    place: NDArray[np.intp]  # (N,) index in the training set
    flipped: NDArray[np.bool_]  # (N,) left-right


def thumbnails(images: Floats) -> Thumbnails:
    """(N, SIDE, SIDE) of images (N, H, W) in [0, 1]."""
    small = [to_uint8(resize_square(image, SIDE)) for image in images]
    return np.array(small, np.uint8).reshape(-1, SIDE, SIDE)


def best_matches(queries: Thumbnails, training: Thumbnails) -> Match:
    """The training image that matches each query best."""
    details = _details(training)
    found = [
        _refine(query, candidates, details)
        for start in range(0, len(queries), NUM_QUERIES)
        for query, candidates in _candidates(queries[start : start + NUM_QUERIES], training)
    ]
    similarity, place, flipped = (np.array(column) for column in zip(*found, strict=True)) if found else ([],) * 3
    return Match(np.asarray(similarity, np.float64), np.asarray(place, np.intp), np.asarray(flipped, np.bool_))


def _candidates(queries: Thumbnails, training: Thumbnails) -> Iterator[tuple[Thumbnails, NDArray[np.intp]]]:
    """Each query with the places of its best candidates; those of its mirror image are counted from M on."""
    both = np.concatenate([queries, queries[:, :, ::-1]])
    whole = next(_views())
    described = _describe(both, whole)
    best = np.full((len(both), len(training)), -1.0, np.float32)
    for start in range(0, len(training), NUM_TRAINING):
        part, block = training[start : start + NUM_TRAINING], best[:, start : start + NUM_TRAINING]
        for view in _views():
            np.maximum(block, described @ _describe(part, view).T, out=block)
    scores = np.concatenate([best[: len(queries)], best[len(queries) :]], axis=1)
    count = min(NUM_CANDIDATES, scores.shape[1])
    yield from zip(queries, np.argpartition(-scores, count - 1, axis=1)[:, :count], strict=True)


def _views() -> Iterator[tuple[Floats, Floats]]:
    """(COARSE_SIDE, SIDE) matrices that crop and shrink the rows and the columns of a thumbnail; the whole first."""
    pixels = np.eye(SIDE, dtype=np.float32)
    yield (whole := _shrink(pixels)), whole
    for share in COARSE_CROPS:
        side = round(share * SIDE)
        crops = [_shrink(pixels[at : at + side]) for at in np.linspace(0, SIDE - side, 3).round().astype(int)]
        yield from ((rows, columns) for rows in crops for columns in crops)


def _shrink(pixels: Floats) -> Floats:
    return np.asarray(cv2.resize(pixels, (SIDE, COARSE_SIDE), interpolation=cv2.INTER_AREA), np.float32)


def _describe(images: Thumbnails, view: tuple[Floats, Floats]) -> Floats:
    """Unit vectors (N, COARSE_SIDE^2) of a view's detail."""
    rows, columns = view
    small = rows @ images.astype(np.float32) @ columns.T
    blur = cv2.GaussianBlur(np.eye(COARSE_SIDE, dtype=np.float32), (1, 6 * round(SIGMA) + 1), sigmaX=SIGMA)
    vectors = (small - blur @ small @ blur.T).reshape(len(images), -1)
    vectors -= vectors.mean(axis=1, keepdims=True)
    limit = CLIP * vectors.std(axis=1, keepdims=True)
    vectors = np.clip(vectors, -limit, limit)
    return np.asarray(vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-6), np.float32)


def _details(images: Thumbnails) -> Floats:
    """(N, FINE_SIDE, FINE_SIDE) without the smooth part."""
    details = [_detail(image.astype(np.float32), FINE_SIDE) for image in images]
    return np.array(details, np.float32).reshape(-1, FINE_SIDE, FINE_SIDE)


def _detail(image: Floats, side: int) -> Floats:
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small - cv2.GaussianBlur(small, (0, 0), SIGMA), np.float32)


def _refine(query: Thumbnails, candidates: NDArray[np.intp], details: Floats) -> tuple[float, int, bool]:
    """Similarity, place and mirroring of the best candidate, over all shifts and scales."""
    if query.std() < MIN_CONTRAST:
        return 0.0, int(candidates[0]) % len(details), False
    both = [_templates(np.ascontiguousarray(image)) for image in (query, query[:, ::-1])]
    return max(
        (
            _fit(details[place % len(details)], both[place // len(details)]),
            int(place % len(details)),
            bool(place >= len(details)),
        )
        for place in candidates
    )


def _templates(query: Thumbnails) -> list[Floats]:
    image = query.astype(np.float32)
    cuts = slice(MARGIN, -MARGIN)  # room to shift, and no pixels whose surroundings were cropped
    return [_detail(image, round(scale * FINE_SIDE))[cuts, cuts] for scale in FINE_SCALES]


def _fit(detail: Floats, templates: list[Floats]) -> float:
    if not detail.any():
        return 0.0
    return max(float(cv2.matchTemplate(detail, template, cv2.TM_CCOEFF_NORMED).max()) for template in templates)
