"""What an engine may offer beside sampling. A caller asks with isinstance and says so where the answer is no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from xray_generator.types import Edit, Engine, GenerationRequest, Image, Morph, OnStep

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class NoiseSchedule:
    """What a training image becomes at each training timestep: x_t = signal x_0 + noise epsilon, epsilon ~ N(0, 1)."""

    timesteps: tuple[float, ...]
    signal: tuple[float, ...]
    noise: tuple[float, ...]


@runtime_checkable
class NoiseScheduled(Protocol):
    """What an engine may offer besides: it denoises, and tells by which schedule."""

    def noise_schedule(self) -> NoiseSchedule:
        """The schedule of its training."""
        ...

    def visited_timesteps(self, scheduler: str, num_inference_steps: int) -> tuple[float, ...]:
        """Where a scheduler calls the network, in the order of sampling; StudioError where it is unknown."""
        ...


@dataclass(frozen=True, slots=True)
class Ablation:
    """One choice of a model's sampling taken back or made otherwise, and what that was expected to do."""

    change: str  # against what the checkpoint recommends
    predicted: str
    engine: Engine
    settings: Mapping[str, Any]  # of a request, besides


@runtime_checkable
class Ablatable(Protocol):
    """What an engine may offer besides: itself without each choice of its sampling, to see what that is worth."""

    def ablations(self) -> tuple[Ablation, ...]:
        """One at a time."""
        ...


@runtime_checkable
class Autoencoding(Protocol):
    """What an engine may offer besides: images to latents and back."""

    def encode_images(self, images: Tensor) -> Tensor:
        """Latents (B, C, h, w) of images (B, 1, H, W) in [-1, 1]; the most likely ones where they are random."""
        ...

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Images (B, 1, H, W) in [-1, 1]."""
        ...


@runtime_checkable
class Morphing(Protocol):
    """It draws what lies between two requests."""

    def morph(self, first: GenerationRequest, morph: Morph, on_step: OnStep) -> Tensor:
        """(1, 1, H, W) in [-1, 1], of two resolved requests; settings that cannot be mixed are those of the first."""
        ...


@runtime_checkable
class Editing(Protocol):
    """It changes what an image shows."""

    @property
    def given_scheduler(self) -> str:
        """The scheduler along which an image that is given, not generated, is always edited."""
        ...

    def edit(self, source: Image | None, request: GenerationRequest, edit: Edit, on_step: OnStep) -> Tensor:
        """(2, 1, H, W) in [-1, 1]: the image as the model holds it, and edited.

        Args:
            source: the image; None: the one that `request` makes.
            request: resolved; of a given image its seed, steps, guidance and size are used.
            edit: what to change.
            on_step: called after each call of the network.
        """
        ...


@dataclass(frozen=True, slots=True)
class AttentionMaps:
    """Where each word of a prompt acted."""

    words: tuple[str, ...]
    maps: NDArray[np.float32]  # (words, h, w): the share of a position's attention that the word has, in [0, 1]
    image: Image


@runtime_checkable
class Attending(Protocol):
    """It tells where the words of a prompt acted."""

    def attend(self, request: GenerationRequest, on_step: OnStep) -> AttentionMaps:
        """The first image of a resolved request, and the maps of its words, mean over steps, layers and heads."""
        ...


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How probable a model holds an image, and where among its noise the image lies."""

    bits_per_dimension: float  # of an image of 256 gray levels; less is more probable
    standard_error: float  # of the estimate, by its probes
    inversion_rmse: float  # root mean square gray level, 0 to 1, by which the image carried to noise and back is off
    noise: NDArray[np.float32]  # (H, W), standard normal if the image is typical
    image: Image  # as it was judged: at the model's size, in 256 gray levels


@runtime_checkable
class Scoring(Protocol):
    """It tells how probable an image is."""

    def likelihood(
        self, image: Image, label: str | None, generator: torch.Generator, on_step: OnStep | None = None
    ) -> Likelihood:
        """Of an image (H, W) in [0, 1] of any size, as one of a class or, None, of no class in particular.

        StudioError where the class is unknown.
        """
        ...


@runtime_checkable
class Tracing(Protocol):
    """It shows the way from noise to an image."""

    def trace(self, request: GenerationRequest, on_step: OnStep) -> tuple[Image, ...]:
        """The first image of a resolved request from the noise to the end, at equal steps of sigma from 1 to 0.

        Gray 0 to 1 is -1 to 1; what lies beyond, as of noise, is clipped.
        """
        ...


@runtime_checkable
class ClassAutoencoding(Protocol):
    """It turns images of a class to latents and back; None stands for no class in particular."""

    def encode(self, images: Tensor, label: str | None) -> Tensor:
        """Latents (B, C, h, w) of images (B, 1, H, W) in [-1, 1], the most likely ones; StudioError: unknown class."""
        ...

    def decode(self, latents: Tensor, label: str | None) -> Tensor:
        """Images (B, 1, H, W) in [-1, 1]; StudioError: unknown class."""
        ...


@dataclass(frozen=True, slots=True)
class LatentDirection:
    """A way in which the latents of a class differ from each other."""

    vector: NDArray[np.float32]  # (C, h, w), as long as the standard deviation along it
    share: float  # of the variance


@runtime_checkable
class Traversing(Protocol):
    """It moves an image along the ways in which its class varies."""

    def draw_latents(self, label: str | None, generators: Sequence[torch.Generator]) -> Tensor:
        """Latents (B, C, h, w) of new images as recommended, one per CPU generator; StudioError: unknown class."""
        ...

    def directions(self, label: str | None, count: int) -> tuple[LatentDirection, ...]:
        """The principal directions of a class, of generated images alone, those of most variance first."""
        ...

    def traverse(
        self, request: GenerationRequest, direction: LatentDirection, amounts: Sequence[float], on_step: OnStep
    ) -> Tensor:
        """(B, 1, H, W) in [-1, 1]: the first image of a resolved request, moved by B amounts, in deviations."""
        ...
