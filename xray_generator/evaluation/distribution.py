"""Distances between sets of generated and real images in a named feature space, compared with real to real.

The Fréchet distance and the shares depend on how many images are compared. So the generated sample, the real sample and
the second real sample for comparison are equally large, with one image per patient, and values are means over several
random splits. Compare two models at equal n only.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, eigvalsh
from scipy.spatial.distance import cdist

from xray_generator.evaluation.features import Classifier, Extractor
from xray_generator.evaluation.image_sets import ImageSet, matched_splits
from xray_generator.evaluation.records import Measurement
from xray_generator.reference_encoder.bootstrap import Floats, Interval, interval, mean_interval
from xray_generator.types import StudioError

Between = Callable[[Floats, Floats], Any]  # features of real and of generated images -> a number, or one per image

MIN_IMAGES = 20  # a side
FRECHET_IMAGES_PER_FEATURE = 2
KID_SUBSET, NUM_KID_SUBSETS = 1_000, 100
MAX_RESAMPLED_FEATURES = 512  # eigenvalues of larger matrices take too long for an interval


def frechet_distance(x: Floats, y: Floats) -> float:
    """|μx - μy|² + Tr(Σx + Σy - 2 (Σx Σy)^½), Dowson & Landau 1982, Heusel et al. 2017 eq. 6.

    Tr (Σx Σy)^½ is the sum of the roots of the eigenvalues of Σx^½ Σy Σx^½, which is symmetric: no complex numbers.

    Args:
        x: features (N, D).
        y: features (M, D).

    Raises:
        StudioError: fewer than 2 D images on a side; the covariance would be mostly noise.
    """
    num_features = x.shape[1]
    _check(f"A Fréchet distance of {num_features} features", x, y, FRECHET_IMAGES_PER_FEATURE * num_features)
    return _frechet_distance(x, y)


def _frechet_distance(x: Floats, y: Floats) -> float:
    sigma_x, sigma_y = np.atleast_2d(np.cov(x, rowvar=False)), np.atleast_2d(np.cov(y, rowvar=False))
    values, vectors = eigh(sigma_x)
    root = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    cross = np.sqrt(np.clip(eigvalsh(root @ sigma_y @ root), 0, None)).sum()
    distance = np.square(x.mean(axis=0) - y.mean(axis=0)).sum() + np.trace(sigma_x) + np.trace(sigma_y) - 2 * cross
    return max(float(distance), 0.0)  # rounding


def kernel_distance(x: Floats, y: Floats) -> float:
    """MMD²_u with k(x, y) = (xᵀy / D + 1)³: the unbiased estimate of Bińkowski et al. 2018, eq. 4; may be below 0.

    Raises:
        StudioError: fewer than 20 images on a side.
    """
    _check("A kernel distance", x, y, MIN_IMAGES)

    def k(a: Floats, b: Floats) -> Floats:
        return np.asarray((a @ b.T / a.shape[1] + 1) ** 3)

    def within(a: Floats) -> float:
        gram, n = k(a, a), len(a)
        return float(gram.sum() - np.trace(gram)) / (n * (n - 1))

    return within(x) + within(y) - 2 * float(k(x, y).mean())


def precision(real: Floats, generated: Floats, k: int = 3) -> Floats:
    """For each generated image 1 if it lies in the ball of some real one: Kynkäänniemi et al. 2019, eq. 1."""
    return np.asarray(_in_balls(real, generated, k).any(axis=1), np.float64)


def recall(real: Floats, generated: Floats, k: int = 3) -> Floats:
    """For each real image 1 if it lies in the ball of some generated one: Kynkäänniemi et al. 2019, eq. 2."""
    return precision(generated, real, k)


def density(real: Floats, generated: Floats, k: int = 5) -> Floats:
    """For each generated image the number of real balls that hold it, over k: Naeem et al. 2020, eq. 6."""
    return np.asarray(_in_balls(real, generated, k).sum(axis=1) / k, np.float64)


def coverage(real: Floats, generated: Floats, k: int = 5) -> Floats:
    """For each real image 1 if its ball holds a generated one: Naeem et al. 2020, eq. 8."""
    return np.asarray(_in_balls(real, generated, k).any(axis=0), np.float64)


def inception_score(probabilities: Floats) -> float:
    """Exp(E_x KL(p(y|x) || p(y))) of class probabilities (N, C): Salimans et al. 2016; 1 to C."""
    p_y = probabilities.mean(axis=0)
    tiny = np.finfo(np.float64).tiny
    divergence = probabilities * (np.log(np.maximum(probabilities, tiny)) - np.log(np.maximum(p_y, tiny)))
    return float(np.exp(divergence.sum(axis=1).mean()))


DISTANCES = MappingProxyType({"frechet_distance": frechet_distance, "kernel_distance": kernel_distance})
SHARES = MappingProxyType({"precision": precision, "recall": recall, "density": density, "coverage": coverage})


def compare(
    generated: ImageSet,
    real: ImageSet,
    extractor: Extractor,
    rng: np.random.Generator,
    condition: str = "",
    split: str = "",
    num_resamples: int = 100,
) -> list[Measurement]:
    """All distances of two sets in one feature space; `real` is the distance between two halves of the real images.

    The ratio's interval draws all three samples. The kernel distance has no ratio: it is unbiased, so 0 on average
    between two halves of one set.
    """
    splits = matched_splits(generated, real, rng)
    x, y = extractor(generated.images), extractor(real.images)
    sides = [(y[s.real], x[s.generated], y[s.other]) for s in splits]
    common: dict[str, Any] = {
        "n": splits[0].size,
        "real_n": splits[0].size,
        "condition": condition,
        "split": split,
        "extractor": extractor.name,
        "settings": {"splits": len(splits)},
    }

    def measure(name: str, between: Between, spread: Callable[[Between, float], Interval | None]) -> Measurement:
        try:
            value = float(np.mean([between(near, far) for near, far, _ in sides]))
        except StudioError as error:
            return Measurement(name, None, reason=str(error), **common)
        floor = float(np.mean([between(near, other) for near, _, other in sides]))
        return Measurement(name, value, interval=spread(between, value), real=floor, **common)

    def of_distance(between: Between, value: float) -> Interval | None:
        if extractor.dimension > MAX_RESAMPLED_FEATURES:
            return None
        return interval(between, sides[0][:2], rng, num_resamples, value)

    def of_share(
        between: Between, _: float
    ) -> Interval | None:  # resampled images would be at distance 0 of each other
        ends = [mean_interval(np.asarray(between(near, far)), rng) for near, far, _ in sides]
        low, high = np.mean([end for end in ends if end], axis=0)
        return float(low), float(high)

    def of_ratio(value: float) -> Interval | None:
        if extractor.dimension > MAX_RESAMPLED_FEATURES:
            return None
        return interval(
            lambda near, far, other: frechet_distance(near, far) / frechet_distance(near, other),
            sides[0],
            rng,
            num_resamples,
            value,
        )

    frechet, kernel = (measure(name, between, of_distance) for name, between in DISTANCES.items())
    shares = [measure(name, between, of_share) for name, between in SHARES.items()]
    return [frechet, _ratio(frechet, of_ratio, common), kernel, *shares]


def fid_and_kid(
    generated: ImageSet, real: ImageSet, extractor: Extractor, rng: np.random.Generator, split: str = ""
) -> list[Measurement]:
    """FID and KID as others report them: all generated images against all real ones, and no yardstick.

    FID is computed at any n, with its bias (Heusel et al. 2017); KID is the mean over 100 subsets (Bińkowski et al.
    2018), its settings hold their size and standard deviation. Without intervals: compare at equal n only.
    """
    size = min(len(generated), len(real), KID_SUBSET)
    common: dict[str, Any] = {"n": len(generated), "real_n": len(real), "split": split, "extractor": extractor.name}
    if size < MIN_IMAGES:
        reason = f"FID and KID need {MIN_IMAGES} images or more on each side, not {size}."
        return [Measurement(name, None, reason=reason, **common) for name in ("fid", "kid")]
    x, y = extractor(generated.images), extractor(real.images)
    values = [
        kernel_distance(*(side[rng.choice(len(side), size, replace=False)] for side in (x, y)))
        for _ in range(NUM_KID_SUBSETS)
    ]
    subsets = {"subsets": NUM_KID_SUBSETS, "subset_size": size, "standard_deviation": float(np.std(values))}
    return [
        Measurement("fid", _frechet_distance(x, y), **common),
        Measurement("kid", float(np.mean(values)), settings=subsets, **common),
    ]


def inception_scores(
    generated: ImageSet,
    real: ImageSet,
    classifier: Classifier,
    rng: np.random.Generator,
    condition: str = "",
    split: str = "",
) -> Measurement:
    """The Inception score of equally many generated and real images; it rises with their number."""
    size = min(len(generated), len(real))
    common: dict[str, Any] = {
        "n": size,
        "real_n": size,
        "condition": condition,
        "split": split,
        "extractor": classifier.name,
    }
    x, y = (classifier.probabilities(some.images[rng.permutation(len(some))[:size]]) for some in (generated, real))
    try:
        _check("An Inception score", x, y, MIN_IMAGES)
    except StudioError as error:
        return Measurement("inception_score", None, reason=str(error), **common)
    value = inception_score(x)
    ends = interval(inception_score, (x,), rng, center=value)
    return Measurement("inception_score", value, interval=ends, real=inception_score(y), **common)


def _ratio(frechet: Measurement, spread: Callable[[float], Interval | None], common: dict[str, Any]) -> Measurement:
    if frechet.value is None or frechet.real is None:
        return Measurement("frechet_ratio", None, reason=frechet.reason, **common)
    if not frechet.real:
        return Measurement("frechet_ratio", None, reason="The real images do not differ from each other.", **common)
    value = frechet.value / frechet.real
    return Measurement("frechet_ratio", value, interval=spread(value), **common)


def _in_balls(centers: Floats, points: Floats, k: int) -> NDArray[np.bool_]:
    """(P, C): whether a point lies in the ball around a center that reaches its k-th nearest other center."""
    _check("A share of neighbors", centers, points, MIN_IMAGES)
    radii = np.partition(cdist(centers, centers), k, axis=1)[:, k]  # place 0 is the center itself
    return np.asarray(cdist(points, centers) <= radii)


def _check(what: str, x: Floats, y: Floats, needed: int) -> None:
    if (size := min(len(x), len(y))) < needed:
        raise StudioError(f"{what} needs {needed} images or more on each side, not {size}.")
