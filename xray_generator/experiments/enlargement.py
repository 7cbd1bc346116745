"""One image enlarged in every way, by interpolation and by a model, and measured where the original is known."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from xray_generator.evaluation.image_quality import sharpness
from xray_generator.evaluation.pair_measures import mse, pair_measures, psnr, ssim
from xray_generator.evaluation.super_resolution import UPSCALER, Method, methods
from xray_generator.images import resize_square
from xray_generator.types import Image, OnStep, StudioError, Upscaler, no_report

STEPS = (1, 4)  # of the model: the mean of all images that fit, and one of them
FACTOR = 2  # by which an image is reduced first, so that its original is known


@dataclass(frozen=True, slots=True, eq=False)
class Enlarged:
    """An image enlarged by one method."""

    name: str  # "bicubic", "model, 4 steps"
    image: Image
    measures: Mapping[str, float]  # against the original, by `measures.MEASURES`; empty where it is not known
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Enlargements:
    """What was enlarged, and what each method made of it."""

    low: Image
    original: Image | None  # of the size that was enlarged to; None: not known
    items: tuple[Enlarged, ...]


def enlarge_every_way(
    upscaler: Upscaler, image: Image, size: int, *, is_reduced: bool, seed: int = 0, on_step: OnStep | None = None
) -> Enlargements:
    """Enlarge an image (H, W), its center cropped to a square, to `size` pixels by every interpolation and the model.

    Args:
        upscaler: the model.
        image: gray from 0 to 1.
        size: pixels a side.
        is_reduced: reduce the image to half of `size` first, and compare with it; otherwise it is enlarged as it is.
        seed: of the model's noise.
        on_step: called after every step of the model.

    Raises:
        StudioError: the image is too small, or the model does not enlarge to that size.
    """
    side = min(image.shape)
    if is_reduced and side < size:
        raise StudioError(f"The image has {side} pixels a side, so it cannot be the original of {size}.")
    original = resize_square(image, size) if is_reduced else None
    low = resize_square(image if original is None else original, round(size / FACTOR) if is_reduced else side)
    upscaler.num_steps(len(low), size)  # refuses what it cannot do before the work
    ways = list(methods(upscaler, size, STEPS, seed))
    shares = [method.num_steps or 1 for method in ways]
    items = []
    for place, (method, share) in enumerate(zip(ways, shares, strict=True)):
        report = _report_share(on_step or no_report, sum(shares[:place]), share, sum(shares))
        items.append(_enlarge(method, low, original, report))
    return Enlargements(low, original, tuple(items))


def _report_share(on_step: OnStep, done: int, share: int, total: int) -> OnStep:
    """The progress of a part of `share` steps, however many passes its steps are made of."""
    return lambda step, count, preview: on_step(done + step * share // count, total, preview)


def _enlarge(method: Method, low: Image, original: Image | None, on_step: OnStep) -> Enlarged:
    started = time.perf_counter()
    image = method.enlarge(low, 0, on_step)
    seconds = time.perf_counter() - started
    return Enlarged(_name(method), image, {} if original is None else compare(image, original), seconds)


def compare(image: Image, original: Image) -> dict[str, float]:
    """Every measure of an image against its original."""
    further = {name: measure(image, original) for name, measure in pair_measures(len(image)).items()}
    pair = {"mse": mse(image, original), "psnr": psnr(image, original), "ssim": ssim(image, original)}
    return {**pair, **further, "sharpness": sharpness(image)}


def _name(method: Method) -> str:
    if method.name != UPSCALER:
        return method.name
    return f"model, {method.num_steps} step{'s' if method.num_steps != 1 else ''}"
