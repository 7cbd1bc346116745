"""How probable a model holds an image, beside real ones that it judged before, and the noise that the image lies at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from xray_generator.checkpoints import Manifest
from xray_generator.evaluation.records import Curve
from xray_generator.types import Image

METRIC, REFERENCES = "likelihood", "likelihood_references"  # of a manifest
SPREAD = 4.0  # standard deviations of noise that are shown
NUM_BINS = 41  # odd: one stands for 0


@dataclass(frozen=True, slots=True)
class Known:
    """Bits per dimension that a checkpoint brings, all under no class."""

    splits: dict[str, tuple[float, ...]] = field(default_factory=dict)  # of single real slices
    means: dict[str, str] = field(default_factory=dict)  # in words
    references: dict[str, float] = field(default_factory=dict)  # of images that are no slices


def classifiers(manifest: Manifest) -> bool:
    """Whether a checkpoint tells how probable an image is: it brings the likelihoods of real ones."""
    return METRIC in manifest.metrics


def known(manifest: Manifest) -> Known:
    """What a checkpoint's manifest says of real slices and of other images; what it does not say is left out."""
    found = Known()
    for split, one in _mapping(manifest.metrics.get(METRIC)).items():
        facts = _mapping(one)
        values = facts.get("values")
        found.splits[split] = tuple(filter(_is_number, values)) if isinstance(values, list) else ()
        mean, error, count = (facts.get(name) for name in ("bits_per_dimension", "standard_error", "num_images"))
        if _is_number(mean) and _is_number(error) and _is_number(count):
            found.means[split] = f"{mean:.3f} ± {error:.3f}, n = {count:,}"
    references = _mapping(manifest.metrics.get(REFERENCES))
    found.references.update({name: float(value) for name, value in references.items() if _is_number(value)})
    return found


def num_above(bits: float, values: tuple[float, ...]) -> int:
    """How many real slices cost more bits, so that the model holds them less probable."""
    return sum(value > bits for value in values)


def noise_picture(noise: NDArray[np.float32]) -> Image:
    """Noise (H, W) in standard deviations as an image: -4 is black, 4 white."""
    return np.asarray(np.clip(noise / (2 * SPREAD) + 0.5, 0, 1), np.float32)


def noise_curve(noise: NDArray[np.float32]) -> Curve:
    """The density of an image's noise beside the standard normal; what lies beyond 4 deviations counts at the ends."""
    edges = np.linspace(-SPREAD, SPREAD, NUM_BINS + 1)
    centers, width = (edges[:-1] + edges[1:]) / 2, edges[1] - edges[0]
    density = np.histogram(np.clip(noise, -SPREAD, SPREAD), edges)[0] / noise.size / width
    normal = np.exp(-(centers**2) / 2) / math.sqrt(2 * math.pi)
    lines: dict[str, tuple[float | None, ...]] = {
        "standard normal": tuple(normal.tolist()),
        "this image's noise": tuple(density.tolist()),
    }
    return Curve("Noise", "standard deviations", "density", tuple(centers.tolist()), lines)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
