"""An upscaler against interpolation: real images are reduced, enlarged by each method, and compared with themselves."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np

from xray_generator.checkpoints import code_commit
from xray_generator.data.captioned import large_rows
from xray_generator.data.rows import Dataset, Row, Split, evenly
from xray_generator.devices import seeded_generators
from xray_generator.evaluation.features import Extractor
from xray_generator.evaluation.image_quality import compare_pairs, power_spectra, sharpness, spectral_distance
from xray_generator.evaluation.image_sets import ImageSet, from_rows
from xray_generator.evaluation.lpips import Lpips, load_lpips
from xray_generator.evaluation.pair_measures import PAIR_MEASURES, pair_measures
from xray_generator.evaluation.records import Measurement, Record
from xray_generator.evaluation.speed import machine_facts
from xray_generator.images import from_tensor, resize_square, to_tensor
from xray_generator.reference_encoder.bootstrap import mean_interval
from xray_generator.types import Image, OnStep, StudioError, Upscaler, no_report

SUITE = "enlargement"
INTERPOLATIONS: Mapping[str, int] = MappingProxyType(
    {
        "nearest": cv2.INTER_NEAREST_EXACT,
        "bilinear": cv2.INTER_LINEAR,
        "bicubic": cv2.INTER_CUBIC,
        "lanczos": cv2.INTER_LANCZOS4,
    }
)
UPSCALER = "upscaler"
FEATURE_DISTANCE = "feature_distance"
LPIPS = "lpips"
STEPS = (1, 4, 8)
FACTORS = (2.0, 1.5)  # as from 256 to 512, and from 512 to 768
SHOWN = (
    "mse",
    "psnr",
    "ssim",
    *PAIR_MEASURES,
    FEATURE_DISTANCE,
    LPIPS,
    "sharpness",
    "sharpness_ratio",
    "spectral_distance",
    "latency_ms",
)

Enlarge = Callable[[Image, int, OnStep], Image]  # an image, its index, and its progress -> (size, size) in [0, 1]


@dataclass(frozen=True, slots=True)
class Method:
    """One way to enlarge an image."""

    name: str
    enlarge: Enlarge
    num_steps: int | None = None  # of the upscaler


def methods(upscaler: Upscaler, size: int, num_steps: Sequence[int] = STEPS, seed: int = 0) -> Iterator[Method]:
    """Each interpolation, and the upscaler with each number of steps; it enlarges image i with seed + i."""

    def interpolate(flag: int, image: Image, _place: int, _on_step: OnStep) -> Image:
        return np.asarray(np.clip(cv2.resize(image, (size, size), interpolation=flag), 0.0, 1.0), np.float32)

    def upscale(steps: int, image: Image, place: int, on_step: OnStep) -> Image:
        images = to_tensor(image[None]).to(upscaler.device)
        return from_tensor(upscaler.upscale(images, size, steps, seeded_generators(seed + place, 1), on_step))[0]

    yield from (Method(name, partial(interpolate, flag)) for name, flag in INTERPOLATIONS.items())
    yield from (Method(UPSCALER, partial(upscale, steps), steps) for steps in num_steps)


def measure_method(
    method: Method,
    images: ImageSet,
    side: int,
    split: str,
    rng: np.random.Generator,
    extractor: Extractor | None = None,
    lpips: Lpips | None = None,
) -> list[Measurement]:
    """Every measure of SHOWN, of images enlarged from `side` pixels; times are medians.

    The spectral distance is between mean spectra of the same images, so it is 0 for the images themselves; that of
    features needs an extractor, and LPIPS its weights.
    """
    outputs, times = [], []
    for i, image in enumerate(images.images):
        low = resize_square(image, side)
        started = time.perf_counter()
        outputs.append(method.enlarge(low, i, no_report))
        times.append((time.perf_counter() - started) * 1_000)
    made = replace(images, name=method.name, images=np.stack(outputs))
    ours, theirs = (float(np.mean([sharpness(image) for image in some.images])) for some in (made, images))
    distance = spectral_distance(power_spectra(made.images), power_spectra(images.images))
    common: dict[str, Any] = {"n": len(images), "split": split}
    found = [
        *compare_pairs(made, images, rng, split=split),
        *_compare_further(made, images, rng, common),
        Measurement("sharpness", ours, real=theirs, real_n=len(images), **common),
        Measurement("spectral_distance", distance, real_n=len(images), **common),
        Measurement("latency_ms", statistics.median(times), **common),
    ]
    if extractor is not None:
        found.append(_feature_distance(made, images, rng, extractor, common))
    if lpips is not None:
        values = lpips(made.images, images.images)
        ends = mean_interval(values, rng)
        found.append(Measurement(LPIPS, float(values.mean()), interval=ends, extractor=lpips.name, **common))
    if theirs > 0:
        found.append(Measurement("sharpness_ratio", ours / theirs, real_n=len(images), **common))
    sizes = {"from_size": side, "to_size": images.images.shape[1]}
    settings = {"method": method.name, "num_steps": method.num_steps, **sizes}
    return [replace(m, settings=settings) for m in found]


def _compare_further(
    made: ImageSet, images: ImageSet, rng: np.random.Generator, common: Mapping[str, Any]
) -> Iterator[Measurement]:
    for name, measure in pair_measures(images.images.shape[1]).items():
        values = np.array([measure(a, b) for a, b in zip(made.images, images.images, strict=True)])
        real = float(np.mean([measure(b, b) for b in images.images])) if name == "average_gradient" else None
        ends = mean_interval(values, rng)
        yield Measurement(name, float(values.mean()), interval=ends, real=real, real_n=len(images), **common)


def _feature_distance(
    made: ImageSet, images: ImageSet, rng: np.random.Generator, extractor: Extractor, common: Mapping[str, Any]
) -> Measurement:
    """Mean of 1 - cosine of the features of image and target."""
    ours, theirs = extractor(made.images), extractor(images.images)
    cosines = (ours * theirs).sum(axis=1) / (np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1))
    values = 1 - cosines
    ends = mean_interval(values, rng)
    return Measurement(FEATURE_DISTANCE, float(values.mean()), interval=ends, extractor=extractor.name, **common)


def measure_upscaler(
    upscaler: Upscaler,
    dataset: Dataset,
    size: int | None = None,
    splits: Sequence[Split] = ("val", "test"),
    factors: Sequence[float] = FACTORS,
    num_steps: Sequence[int] = STEPS,
    seed: int = 0,
    find_extractor: Callable[[ImageSet], Extractor | None] = lambda _: None,
    limit: int | None = None,
) -> Record:
    """Every method on the images of each split that have `size` pixels, reduced by each factor first.

    The record's table "enlargement" holds a row for each method, split, size and factor.

    Args:
        upscaler: what is measured.
        dataset: of real images.
        size: pixels a side; None: each of the checkpoint's sizes that some image reaches by itself.
        splits: of the dataset.
        factors: ratios of the sides; those that the upscaler was not trained for are left out.
        num_steps: of the upscaler.
        seed: of its noise.
        find_extractor: gives the feature space for real images, where there is one.
        limit: most images of a split.

    Raises:
        StudioError: no image of these splits is so large, or the upscaler enlarges by none of the factors.
    """
    rng = np.random.default_rng(seed)
    found: list[Measurement] = []
    lpips, notes = _find_lpips()
    for to_size in (size,) if size else upscaler.manifest.sizes:
        sides = [side for side in (round(to_size / factor) for factor in factors) if _can(upscaler, side, to_size)]
        for split in splits if sides else ():
            images = from_rows(_take(large_rows(dataset.split(split), to_size), limit), to_size, f"real, {split} split")
            if not len(images):
                continue
            notes += images.skipped
            extractor = find_extractor(images)
            for side in sides:
                for method in methods(upscaler, to_size, num_steps, seed):
                    found += measure_method(method, images, side, split, rng, extractor, lpips)
    if not found:
        wanted = size or min(upscaler.manifest.sizes)
        raise StudioError(
            f"No image of the splits {', '.join(splits)} reaches {wanted} pixels; see images512/ of the pack."
        )
    ref = upscaler.manifest.ref
    settings = {"image_size": max(m.settings["to_size"] for m in found), "seed": seed, "splits": list(splits)}
    return Record(
        ref.name,
        SUITE,
        datetime.now(UTC).isoformat(timespec="seconds"),
        code_commit(),
        ref,
        settings | machine_facts(),
        tuple(found),
        tables={SUITE: table(found)},
        notes=tuple(notes),
    )


def _find_lpips() -> tuple[Lpips | None, list[str]]:
    """The distance where its weights are here, or a note why there is none."""
    try:
        return load_lpips(), []
    except StudioError as error:
        return None, [f"LPIPS is not measured: {error}"]


def _take(rows: Sequence[Row], limit: int | None) -> Sequence[Row]:
    return rows if limit is None else evenly(rows, limit)


def _can(upscaler: Upscaler, side: int, size: int) -> bool:
    try:
        return upscaler.num_steps(side, size) > 0
    except StudioError:
        return False


def table(measurements: Sequence[Measurement]) -> tuple[dict[str, Any], ...]:
    """One row for each method, number of steps, split and size, with the values of `SHOWN`."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for m in measurements:
        head = {"split": m.split, "n": m.n, **m.settings}
        rows.setdefault(tuple(head.values()), head)[m.measure] = m.value
    return tuple({**row, **{name: row.get(name) for name in SHOWN}} for row in rows.values())
