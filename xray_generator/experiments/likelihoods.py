"""What `generation.likelihood` finds: latent noise beside the standard normal, and how far its two methods differ."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xray_generator import generation
from xray_generator.checkpoints import code_commit
from xray_generator.config import dump, parse
from xray_generator.evaluation.records import Curve
from xray_generator.types import CheckpointRef, Engine, Image, LikelihoodMethod, OnStep, StudioError

SUFFIX = ".likelihood_methods.json"  # of a comparison, after the checkpoint's name
REACH = 4.0  # standard deviations of noise that are shown
NUM_BINS = 41  # odd: one stands for 0


@dataclass(frozen=True, slots=True)
class Score:
    """The numbers of an `abilities.Likelihood`."""

    bits_per_dimension: float
    standard_error: float
    inversion_rmse: float
    num_passes: int


@dataclass(frozen=True, slots=True)
class MethodComparison:
    """The fast likelihoods of some images beside the exact ones, without a class and with the same random probes."""

    checkpoint: CheckpointRef
    commit: str  # of the code
    images: str  # which they are
    fast: tuple[Score, ...]
    exact: tuple[Score, ...]

    @property
    def differences(self) -> tuple[float, ...]:
        """Bits per dimension, fast minus exact, image by image."""
        return tuple(a.bits_per_dimension - b.bits_per_dimension for a, b in zip(self.fast, self.exact, strict=True))

    @property
    def slowdown(self) -> float:
        """How many times as long the exact method takes, by the passes of the network."""
        exact, fast = (sum(one.num_passes for one in scores) for scores in (self.exact, self.fast))
        return exact / fast


def compare_methods(
    engine: Engine, images: Sequence[Image], which: str, on_step: OnStep | None = None
) -> MethodComparison:
    """Score images by both methods; `which` says in words which they are.

    Raises:
        StudioError: the checkpoint gives no likelihoods, or there is no image.
    """
    if not images:
        raise StudioError("There is no image whose likelihoods could be compared.")

    def score(image: Image, method: LikelihoodMethod) -> Score:
        found = generation.likelihood(engine, image, None, method, on_step)
        return Score(found.bits_per_dimension, found.standard_error, found.inversion_rmse, found.num_passes)

    fast, exact = tuple(score(image, "fast") for image in images), tuple(score(image, "exact") for image in images)
    return MethodComparison(engine.manifest.ref, code_commit(), which, fast, exact)


def write_comparison(path: Path, comparison: MethodComparison) -> None:
    """As JSON, in a new or older file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dump(comparison), indent=1) + "\n", encoding="utf-8")


def find_comparison(folder: Path, checkpoint: CheckpointRef) -> MethodComparison | None:
    """The comparison of a folder that was made with these weights; None where there is none that can be read."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            found = parse(MethodComparison, json.loads(path.read_bytes()))
        except (ValueError, OSError, RecursionError):  # a StudioError is a ValueError
            continue
        if found.checkpoint == checkpoint:
            return found
    return None


def noise_image(noise: NDArray[np.float32]) -> Image:
    """Noise (H, W) in standard deviations as an image: -4 is black, 4 white."""
    return np.asarray(np.clip(noise / (2 * REACH) + 0.5, 0, 1), np.float32)


def noise_curve(noise: NDArray[np.float32]) -> Curve:
    """The density of noise beside the standard normal; what lies beyond 4 deviations counts at the ends."""
    edges = np.linspace(-REACH, REACH, NUM_BINS + 1)
    centers, width = (edges[:-1] + edges[1:]) / 2, edges[1] - edges[0]
    density = np.histogram(np.clip(noise, -REACH, REACH), edges)[0] / noise.size / width
    normal = np.exp(-(centers**2) / 2) / math.sqrt(2 * math.pi)
    lines: dict[str, tuple[float | None, ...]] = {
        "standard normal": tuple(normal.tolist()),
        "this image's noise": tuple(density.tolist()),
    }
    return Curve("Noise", "standard deviations", "density", tuple(centers.tolist()), lines)
