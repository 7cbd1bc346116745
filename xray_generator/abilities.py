"""What an engine may offer besides drawing images: a Protocol for each `types.Ability`.

A family claims its abilities as data (`Family.abilities`, asked by `registry.offers` without loading a model); the
contract test of the families holds each claim against the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from xray_generator.types import (
    Ability,
    Edit,
    Engine,
    GenerationRequest,
    Image,
    LikelihoodMethod,
    Morph,
    OnStep,
    Upscaler,
    no_report,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from xray_generator.checkpoints import Manifest


NUM_DIRECTION_SAMPLES = 64  # of a class, on which its principal directions are measured
UNET, TEXT_ENCODER = "unet", "text_encoder"  # networks that adapters change, as files call them
MAX_INVERSION_RMSE = 0.02  # of gray 0 to 1; beyond it a likelihood means little


@dataclass(frozen=True, slots=True)
class NoiseSchedule:
    """The forward process at each training timestep: x_t = alpha_t x_0 + sigma_t epsilon, epsilon ~ N(0, 1)."""

    timesteps: tuple[float, ...]
    alphas: tuple[float, ...]
    sigmas: tuple[float, ...]


@runtime_checkable
class NoiseScheduled(Protocol):
    """noise_schedule: it denoises along a known noise schedule."""

    def noise_schedule(self) -> NoiseSchedule:
        """The noise schedule of its training."""
        ...

    def visited_timesteps(self, scheduler: str, num_inference_steps: int) -> tuple[float, ...]:
        """The timesteps at which a scheduler calls the network, in the order of sampling; StudioError: unknown."""
        ...


@dataclass(frozen=True, slots=True)
class Ablation:
    """The model with one choice of its sampling undone or changed, and the effect that was expected."""

    change: str  # against the checkpoint's recommendation
    predicted: str
    engine: Engine  # with the change
    settings: Mapping[str, Any]  # of a GenerationRequest, with the change


@runtime_checkable
class Ablatable(Protocol):
    """ablate: it offers itself with single choices of its sampling changed, to measure what each is worth."""

    def ablations(self) -> tuple[Ablation, ...]:
        """One at a time."""
        ...


@runtime_checkable
class Autoencoding(Protocol):
    """encode: it maps images to latents and back. A model of classes does so given a class, or None for no class."""

    def encode(self, images: Tensor, label: str | None = None) -> Tensor:
        """Latents (B, C, h, w) of images (B, 1, H, W) in [-1, 1]: posterior means. StudioError: unknown class."""
        ...

    def decode(self, latents: Tensor, label: str | None = None) -> Tensor:
        """Images (B, 1, H, W) in [-1, 1] of latents as `encode` gives them. StudioError: unknown class."""
        ...


@runtime_checkable
class Predicting(Protocol):
    """predict: it shows what its denoiser sees and predicts, for measures of the denoiser itself."""

    def diffusion_latents(self, images: Tensor) -> Tensor:
        """x_0 (B, D, h, w), as the denoiser sees images (B, 1, H, W) in [-1, 1]; about unit variance."""
        ...

    def predict(self, latents: Tensor, noise: Tensor, level: float, prompt: str) -> Tensor:
        """v (B, D, h, w) = alpha noise - sigma x_0 as predicted without guidance for one prompt.

        `level` is the share of the noise schedule, from 0, the image, to 1, noise.
        """
        ...


@runtime_checkable
class Morphing(Protocol):
    """morph: it interpolates between two requests."""

    def morph(self, first: GenerationRequest, morph: Morph, on_step: OnStep) -> Tensor:
        """(1, 1, H, W) in [-1, 1] of two resolved requests; settings that cannot be interpolated are the first's."""
        ...


@runtime_checkable
class Editing(Protocol):
    """edit: it changes what an image shows."""

    @property
    def inversion_scheduler(self) -> str:
        """The scheduler with which an uploaded image is always edited, since it can be inverted."""
        ...

    def edit(self, source: Image | None, request: GenerationRequest, edit: Edit, on_step: OnStep) -> Tensor:
        """(2, 1, H, W) in [-1, 1]: the image as the model reconstructs it, and edited.

        Args:
            source: the image; None: the one that `request` makes.
            request: resolved; with a `source` only its seed, steps, guidance and size are used.
            edit: what to change.
            on_step: called after each call of the network.
        """
        ...


@dataclass(frozen=True, slots=True)
class AttentionMaps:
    """Cross-attention from each word of a prompt to the image."""

    words: tuple[str, ...]
    maps: NDArray[np.float32]  # (words, h, w): the word's share of a position's attention, in [0, 1]
    image: Image


@runtime_checkable
class Attending(Protocol):
    """attend: it shows where in the image the words of a prompt acted."""

    def attend(self, request: GenerationRequest, on_step: OnStep) -> AttentionMaps:
        """The first image of a resolved request with the maps of its words, averaged over steps, layers and heads."""
        ...


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The likelihood of an image under a model, and the latent noise that the flow maps to the image."""

    bits_per_dimension: float  # of an image of 256 gray levels; less is more probable
    standard_error: float  # of the estimate, over its random probes
    inversion_rmse: float  # of the image carried to noise and back, gray 0 to 1: the solver's error
    noise: NDArray[np.float32]  # (H, W), standard normal if the image is typical
    image: Image  # the image that was scored: at the model's size, in 256 gray levels
    method: LikelihoodMethod
    num_passes: int  # of the network, forward or backward

    @property
    def is_sound(self) -> bool:
        """Whether the image came back from its noise: where it did not, the solver lost the path."""
        return self.inversion_rmse <= MAX_INVERSION_RMSE


@runtime_checkable
class Scoring(Protocol):
    """likelihood: it gives the likelihood of an image."""

    def likelihood(
        self,
        image: Image,
        label: str | None,
        generator: torch.Generator,
        method: LikelihoodMethod = "fast",
        on_step: OnStep = no_report,
    ) -> Likelihood:
        """Of an image (H, W) in [0, 1] of any size, given a class or None; StudioError where the class is unknown.

        `on_step` is called after each pass of the network; the number of all passes is an estimate if "exact".
        """
        ...

    def likelihood_seconds(self, on_step: OnStep = no_report) -> float:
        """How long a fast likelihood takes on this machine, from the time of one evaluation of the network."""
        ...


@runtime_checkable
class Tracing(Protocol):
    """trace: it shows the trajectory from noise to an image."""

    def trace(self, request: GenerationRequest, on_step: OnStep) -> tuple[Image, ...]:
        """The noise and the noisy image after each step, at equal steps of sigma from 1 to 0, of a resolved request.

        Values -1 to 1 are shown as gray 0 to 1; those beyond, as of noise, are clipped.
        """
        ...


@dataclass(frozen=True, slots=True)
class LatentDirection:
    """A principal direction of the latents of a class."""

    vector: NDArray[np.float32]  # (C, h, w), its length the standard deviation along it
    share: float  # of the variance, from 0 to 1


@runtime_checkable
class Traversing(Protocol):
    """traverse: it moves an image along the principal directions of its class."""

    def draw_latents(self, label: str | None, generators: Sequence[torch.Generator]) -> Tensor:
        """Latents (B, C, h, w) of new images, one per CPU generator, by the recommended sampling."""
        ...

    def directions(self, label: str | None, count: int, on_step: OnStep | None = None) -> tuple[LatentDirection, ...]:
        """The principal directions of a class, the greatest variance first, measured on generated latents alone."""
        ...

    def traverse(
        self, request: GenerationRequest, direction: LatentDirection, amounts: Sequence[float], on_step: OnStep
    ) -> Tensor:
        """(B, 1, H, W) in [-1, 1]: the first image of a resolved request moved by B amounts of standard deviations."""
        ...


@runtime_checkable
class Adaptable(Protocol):
    """adapt: low-rank adapters of its networks can be trained and used."""

    def adaptable(self) -> Mapping[str, nn.Module]:
        """The networks that adapters change, by the names UNET and TEXT_ENCODER."""
        ...

    def adapted(self, change: Callable[[str, nn.Module], nn.Module], manifest: Manifest) -> Engine:
        """The same with changed networks, `change(name, network)`, as the checkpoint of a manifest."""
        ...

    def diffusion_latents(self, images: Tensor) -> Tensor:
        """See `Predicting`."""
        ...

    def denoising_errors(self, latents: Tensor, prompts: Sequence[str], generator: torch.Generator) -> Tensor:
        """(B,) mean squared error of the prediction at random noise levels, with gradients, of latents (B, D, h, w)."""
        ...


PROTOCOLS: Mapping[Ability, type] = MappingProxyType(
    {
        "morph": Morphing,
        "edit": Editing,
        "attend": Attending,
        "trace": Tracing,
        "likelihood": Scoring,
        "encode": Autoencoding,
        "predict": Predicting,
        "traverse": Traversing,
        "enlarge": Upscaler,
        "adapt": Adaptable,
        "noise_schedule": NoiseScheduled,
        "ablate": Ablatable,
    }
)
