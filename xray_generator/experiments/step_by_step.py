"""What a model expects the finished image to be at every step of drawing it, and how near and how sharp that is.

It is what every family reports with its steps, so it is the same for all of them and for what enlarges their images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xray_generator.evaluation.image_quality import sharpness
from xray_generator.evaluation.pair_measures import mse
from xray_generator.evaluation.records import Curve
from xray_generator.images import resize_square
from xray_generator.types import GenerationResult, Image, OnStep, Preview, no_report

MOST_KEPT = 100  # estimates of an image, evenly spread over its steps: each costs a decoding and its memory


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """The image that is expected after a step, of the side in pixels of the stage that draws it."""

    step: int  # from 1
    image: Image
    distance: float  # root mean squared difference to the finished image, which is scaled to its side; gray 0 to 1
    sharpness: float  # see `image_quality.sharpness`; it depends on the side


@dataclass(frozen=True, slots=True, eq=False)
class StepByStep:
    """The estimates on the way to an image, in order, and the image."""

    estimates: tuple[Estimate, ...]  # empty where the model reports none
    num_steps: int
    image: Image

    @property
    def sides(self) -> tuple[int, ...]:
        """The sides in pixels of the stages, in order."""
        return tuple(dict.fromkeys(len(one.image) for one in self.estimates))


def watch_steps(draw: Callable[[OnStep], GenerationResult], on_step: OnStep | None = None) -> StepByStep:
    """Draw one image and keep what is expected of it after each step.

    Args:
        draw: draws it, and calls what it is given after each step.
        on_step: called after each step as well; what it raises ends the work.
    """
    seen: dict[int, Image] = {}
    num_steps, report = 0, on_step or no_report

    def keep(step: int, total: int, preview: Preview) -> None:
        nonlocal num_steps
        num_steps = total
        if not step or not _is_kept(step, total):
            report(step, total, preview)
            return
        image = preview()
        if image.size > 1:  # a single pixel: the work has no previews
            seen[step] = image
        report(step, total, lambda: image)  # decoded once

    (finished,) = draw(keep).images
    return StepByStep(tuple(_measure(step, image, finished) for step, image in seen.items()), num_steps, finished)


def _is_kept(step: int, total: int) -> bool:
    """Whether a step is among the evenly spread ones; the last one always is."""
    return total <= MOST_KEPT or step * MOST_KEPT // total > (step - 1) * MOST_KEPT // total


def _measure(step: int, image: Image, finished: Image) -> Estimate:
    scaled = finished if image.shape == finished.shape else resize_square(finished, len(image))
    return Estimate(step, image, mse(image, scaled) ** 0.5, sharpness(image))


def distance_curve(found: StepByStep) -> Curve:
    """How far each estimate is from the finished image."""
    values = tuple(one.distance for one in found.estimates)
    return _curve("Distance to the finished image", "RMS difference, gray 0 to 1", found, {"estimate": values})


def sharpness_curve(found: StepByStep) -> Curve:
    """How sharp each estimate is, a line for each side, and how sharp the finished image is."""
    names = {side: "estimate" if len(found.sides) == 1 else f"estimate, {side} px" for side in found.sides}
    lines: dict[str, Sequence[float | None]] = {
        name: [one.sharpness if len(one.image) == side else None for one in found.estimates]
        for side, name in names.items()
    }
    lines["finished image"] = [sharpness(found.image)] * len(found.estimates)
    return _curve("Sharpness", "variance of the Laplacian", found, lines)


def _curve(title: str, y_label: str, found: StepByStep, lines: dict[str, Sequence[float | None]]) -> Curve:
    x = tuple(float(one.step) for one in found.estimates)
    return Curve(title, "step", y_label, x, {name: tuple(values) for name, values in lines.items()})
