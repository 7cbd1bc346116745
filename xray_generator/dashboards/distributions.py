"""Two sets of images compared: distributions of measures with a test, power spectra, mean images, ratios."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import ks_2samp

from xray_generator.dashboards.side_by_side import MIN_SET, Sides
from xray_generator.data.tables import write_table
from xray_generator.evaluation import image_quality
from xray_generator.evaluation.image_sets import ImageSet, groups
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.records import Curve, Measurement
from xray_generator.images import to_uint8
from xray_generator.reference_encoder.bootstrap import Floats
from xray_generator.types import Image, StudioError

GRAY_BINS = 64
NUM_BINS = 24
VERDICTS = (  # upper end of p, in words
    (0.001, "very strong evidence of a difference"),
    (0.01, "strong evidence of a difference"),
    (0.05, "weak evidence of a difference"),
    (1.1, "no evidence of a difference"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """One measure of every image on both sides."""

    measure: str  # of image_quality.STATISTICS
    generated: Floats  # (G,)
    real: Floats  # (R,)
    mean: Measurement  # of the generated images, with that of the real ones
    ratio: Measurement  # of the means
    gap: float | None  # two-sample Kolmogorov-Smirnov statistic, with one real image per patient
    p: float | None  # its p value
    verdict: str  # p in words, or why there is none


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """All measures of two sets."""

    measures: tuple[Comparison, ...]
    spectral: Measurement


@dataclass(frozen=True, slots=True, eq=False)
class MeanImages:
    """Mean and standard deviation of each pixel over each set, (S, S); means in [0, 1]."""

    real: Image
    generated: Image
    difference: Image  # generated minus real
    real_deviation: Image
    generated_deviation: Image

    @property
    def reach(self) -> float:
        """The largest absolute difference: the end of a color scale around 0."""
        return float(np.abs(self.difference).max())

    @property
    def mean_difference(self) -> float:
        """The mean absolute difference."""
        return float(np.abs(self.difference).mean())

    @property
    def most_deviation(self) -> float:
        """The largest standard deviation on either side: the end of their common color scale."""
        return float(max(self.real_deviation.max(), self.generated_deviation.max()))

    @property
    def variation(self) -> float | None:
        """The mean deviation of generated images divided by that of real ones; None if real images do not vary."""
        real = float(self.real_deviation.mean())
        return float(self.generated_deviation.mean()) / real if real else None


def compare(sides: Sides) -> Comparisons:
    """Every per-image measure on both sides, with bootstrap intervals of seed 0.

    Raises:
        StudioError: an empty side.
    """
    _need(sides, 1)
    found = image_quality.compare(sides.generated, sides.real, np.random.default_rng(0), sides.condition, sides.split)
    by_name = {m.measure: m for m in found}
    ours, theirs = (image_quality.statistics(side.images) for side in (sides.generated, sides.real))
    apart = _one_per_patient(sides.real)
    return Comparisons(
        tuple(
            Comparison(
                name,
                ours[name],
                theirs[name],
                by_name[name],
                by_name[f"{name}_ratio"],
                *_test(ours[name], theirs[name][apart]),
            )
            for name in image_quality.STATISTICS
        ),
        by_name["spectral_distance"],
    )


def histogram(found: Comparison) -> Curve:
    """The share of images in bins of equal width."""
    return image_quality.distribution_curve(found.measure, found.generated, found.real, NUM_BINS)


def cumulative(found: Comparison) -> Curve:
    """The empirical cumulative distribution at each value that occurs."""
    x = np.unique(np.concatenate([found.generated, found.real]))
    lines: dict[str, tuple[float | None, ...]] = {
        name: tuple((np.searchsorted(np.sort(values), x, side="right") / len(values)).tolist())
        for name, values in (("real", found.real), ("generated", found.generated))
    }
    measure = MEASURES[found.measure]
    return Curve(measure.title, measure.unit or "value", "cumulative share of images", tuple(x.tolist()), lines)


def gray_levels(sides: Sides) -> Curve:
    """The share of the pixels of a set in each of 64 bins of gray levels, 0 (black) to 255 (white)."""
    _need(sides, 1)
    width = 256 // GRAY_BINS
    lines: dict[str, tuple[float | None, ...]] = {}
    for name, side in (("real", sides.real), ("generated", sides.generated)):
        counts = np.zeros(256, np.int64)
        for image in side.images:
            counts += np.bincount(to_uint8(image).ravel(), minlength=256)
        lines[name] = tuple((counts.reshape(GRAY_BINS, width).sum(axis=1) / counts.sum()).tolist())
    centers = tuple((np.arange(GRAY_BINS) * width + (width - 1) / 2).tolist())
    return Curve("Gray levels of all pixels", "gray level", "share of pixels", centers, lines)


def spectra(sides: Sides) -> Curve:
    """The mean power spectrum of each side."""
    _need(sides, 1)
    return image_quality.spectrum_curve(_named(sides.real, "real"), _named(sides.generated, "generated"))


def mean_images(sides: Sides) -> MeanImages:
    """Mean and standard deviation of each pixel on both sides.

    Raises:
        StudioError: fewer than two images on a side.
    """
    _need(sides, 2)
    ours, theirs = sides.generated.images, sides.real.images
    mean, real_mean = (side.mean(axis=0, dtype=np.float64).astype(np.float32) for side in (ours, theirs))
    return MeanImages(
        real_mean,
        mean,
        mean - real_mean,
        np.asarray(theirs.std(axis=0), np.float32),
        np.asarray(ours.std(axis=0), np.float32),
    )


def ratios_now(found: Comparisons, means: MeanImages, nearest: tuple[float, float]) -> dict[str, float | None]:
    """Ratios generated / real of two sets; 1 is as real.

    Args:
        found: the per-image measures.
        means: the mean images, for the variation between images.
        nearest: median distance to the nearest real image, of generated and of real images.
    """
    ours, theirs = nearest
    return {
        **{MEASURES[one.measure].title: one.ratio.value for one in found.measures},
        "Variation between images": means.variation,
        "Distance to the nearest real image": ours / theirs if theirs else None,
    }


def to_csv(sides: Sides, found: Comparisons) -> str:
    """A line for each image: side, file, labels and every measure; findings are separated by "|"."""
    lines: list[tuple[object, ...]] = []
    names = [comparison.measure for comparison in found.measures]
    for side, images in (("real", sides.real), ("generated", sides.generated)):
        for i, row in enumerate(images.rows):
            values = [float(getattr(comparison, side)[i]) for comparison in found.measures]
            lines.append(
                (
                    side,
                    row.path.name,
                    row.prompt,
                    "|".join(row.findings),
                    row.view,
                    row.sex,
                    row.age_group,
                    row.split if side == "real" else "",
                    *(f"{value:.6g}" for value in values),
                )
            )
    return write_table(["side", "image", "caption", "findings", "view", "sex", "age_group", "split", *names], lines)


def _test(ours: Floats, theirs: Floats) -> tuple[float | None, float | None, str]:
    """Statistic, p and verdict of the two-sample Kolmogorov-Smirnov test."""
    if min(len(ours), len(theirs)) < MIN_SET:
        return None, None, f"needs {MIN_SET} images on each side"
    result = ks_2samp(ours, theirs)
    p = float(result.pvalue)
    return float(result.statistic), p, next(words for end, words in VERDICTS if p < end)


def _one_per_patient(images: ImageSet) -> list[int]:
    """The index of the first image of each patient: the test assumes independent images, which a patient's are not.

    An image without an id counts as a patient of its own.
    """
    first: dict[str, int] = {}
    for place, patient in enumerate(groups(images).tolist()):
        first.setdefault(patient, place)
    return list(first.values())


def _named(images: ImageSet, name: str) -> ImageSet:
    return ImageSet(name, images.images)


def _need(sides: Sides, count: int) -> None:
    for side, images in (("generated", sides.generated), ("real", sides.real)):
        if len(images) < count:
            raise StudioError(f"This needs at least {count} {side} images of the condition, not {len(images)}.")
