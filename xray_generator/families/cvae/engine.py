"""A loaded checkpoint of this family, ready to draw images of its classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_model
from torch import Tensor, nn

from xray_generator.abilities import LatentDirection
from xray_generator.checkpoints import Manifest, read_manifest, verify
from xray_generator.config import parse
from xray_generator.devices import autocast, initial_noise, pick_device, seeded_generators
from xray_generator.families.cvae.config import CVAEConfig
from xray_generator.families.cvae.model import CVAE, LatentStatistics, Prior, build_grain, build_networks
from xray_generator.images import from_tensor
from xray_generator.nn.interpolation import slerp
from xray_generator.requests import MAX_FLOW_STEPS, resolve_request, unused_guidance
from xray_generator.types import (
    CheckpointRef,
    ClassLabel,
    GenerationRequest,
    Morph,
    OnStep,
    StudioError,
)

SCHEDULER = "euler"
NUM_DIRECTION_SAMPLES = 64
DIRECTION_BATCH = 16
DIRECTION_STREAM = 2  # of the fixed seeds from which directions are measured


@dataclass(frozen=True, slots=True)
class CVAEEngine:
    """The `Engine` of this family; also `Morphing`, `ClassAutoencoding` and `Traversing`."""

    model: CVAE
    manifest: Manifest
    config: CVAEConfig
    device: torch.device

    @property
    def checkpoint(self) -> CheckpointRef:
        """Which weights these are."""
        return self.manifest.ref

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides in pixels."""
        return self.manifest.sizes

    def components(self) -> Mapping[str, nn.Module]:
        """The networks by name."""
        model = self.model
        grain = {} if model.grain is None else {"grain": model.grain}
        return {"encoder": model.encoder, "decoder": model.decoder, "prior": model.prior, **grain}

    def resolve(self, request: GenerationRequest) -> GenerationRequest:
        """See `resolve_class_request`."""
        return resolve_request(request, self.manifest, MAX_FLOW_STEPS)

    def notes(self, request: GenerationRequest) -> tuple[str, ...]:
        """What of a request, as it was asked, the model cannot heed, in words."""
        return unused_guidance(request)

    @torch.inference_mode()
    def sample(self, request: GenerationRequest, generators: Sequence[torch.Generator], on_step: OnStep) -> Tensor:
        """(B, 1, H, W) in [-1, 1] for a resolved request, one image per generator, each sampled by itself.

        One at a time, because on a CPU the batch size changes the last bits of a result.
        """
        classes = self.model.classes(_label(request))
        return torch.cat([self._draw(request, self._noises(g), classes, on_step) for g in generators])

    def _noise(self, generator: torch.Generator) -> Tensor:
        return initial_noise(self.config.latent_shape, [generator], self.device)

    def _noises(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Of the latents, and of the grain."""
        size = self.config.size
        return self._noise(generator), initial_noise((1, size, size), [generator], self.device)

    def _draw(
        self, request: GenerationRequest, noises: tuple[Tensor, Tensor], classes: Tensor, on_step: OnStep
    ) -> Tensor:
        noise, grain = noises
        with autocast(self.device):
            return self.model.decode(self._draw_latents(request, noise, classes, on_step), classes, grain)

    def _draw_latents(self, request: GenerationRequest, noise: Tensor, classes: Tensor, on_step: OnStep) -> Tensor:
        assert request.num_inference_steps and request.guidance_scale is not None

        def report(step: int, total: int, estimate: Tensor) -> None:
            on_step(step, total, lambda: from_tensor(self.model.decode(estimate, classes))[0])

        return self.model.draw_latents(noise, classes, request.guidance_scale, request.num_inference_steps, report)

    @torch.inference_mode()
    def morph(self, first: GenerationRequest, morph: Morph, on_step: OnStep) -> Tensor:
        """See `abilities.Morphing`: noise along the sphere, class embeddings along the line between them."""
        second, weight = morph.second, morph.weight
        assert first.guidance_scale is not None and second.guidance_scale is not None
        (generator,), (other,) = seeded_generators(first.seed, 1), seeded_generators(second.seed, 1)
        pairs = zip(self._noises(generator), self._noises(other), strict=True)
        noise, grain = (slerp(ours, theirs, weight) for ours, theirs in pairs)
        classes = torch.lerp(self.model.classes(_label(first)), self.model.classes(_label(second)), weight)
        guidance = (1 - weight) * first.guidance_scale + weight * second.guidance_scale
        return self._draw(replace(first, guidance_scale=guidance), (noise, grain), classes, on_step)

    @torch.inference_mode()
    def encode(self, images: Tensor, label: str | None) -> Tensor:
        """See `abilities.ClassAutoencoding`: posterior means, normalized."""
        with autocast(self.device):
            return self.model.encode(images.to(self.device), self.model.classes(label))

    @torch.inference_mode()
    def decode(self, latents: Tensor, label: str | None) -> Tensor:
        """See `abilities.ClassAutoencoding`."""
        with autocast(self.device):
            return self.model.decode(latents.to(self.device), self.model.classes(label))

    @torch.inference_mode()
    def draw_latents(self, label: str | None, generators: Sequence[torch.Generator]) -> Tensor:
        """See `abilities.Traversing`."""
        classes, settings = self.model.classes(label), self.manifest.recommended
        guidance = 1.0 if label is None else float(settings["guidance_scale"])
        noise = torch.cat([self._noise(generator) for generator in generators])
        return self.model.draw_latents(noise, classes, guidance, int(settings["num_inference_steps"]), lambda *_: None)

    @torch.inference_mode()
    def directions(self, label: str | None, count: int) -> tuple[LatentDirection, ...]:
        """See `abilities.Traversing`: principal components of 64 draws from the prior, which no patient is behind."""
        if not 1 <= count < NUM_DIRECTION_SAMPLES:
            raise StudioError(f"From 1 to {NUM_DIRECTION_SAMPLES - 1} directions can be measured, not {count}.")
        generators = seeded_generators(0, NUM_DIRECTION_SAMPLES, DIRECTION_STREAM)
        starts = range(0, NUM_DIRECTION_SAMPLES, DIRECTION_BATCH)
        drawn = [self.draw_latents(label, generators[start : start + DIRECTION_BATCH]) for start in starts]
        latents = torch.cat(drawn).double().cpu()
        _, sizes, axes = torch.linalg.svd((latents - latents.mean(0)).flatten(1), full_matrices=False)
        std, shares = sizes / (len(latents) - 1) ** 0.5, sizes**2 / (sizes**2).sum()
        return tuple(
            LatentDirection(_oriented(std[i] * axes[i]).reshape(latents.shape[1:]).float().numpy(), float(shares[i]))
            for i in range(count)
        )

    @torch.inference_mode()
    def traverse(
        self, request: GenerationRequest, direction: LatentDirection, amounts: Sequence[float], on_step: OnStep
    ) -> Tensor:
        """See `abilities.Traversing`."""
        (generator,), classes = seeded_generators(request.seed, 1), self.model.classes(_label(request))
        step = torch.from_numpy(np.ascontiguousarray(direction.vector)).to(self.device)
        with autocast(self.device):
            noise, grain = self._noises(generator)
            latents = self._draw_latents(request, noise, classes, on_step)
            return torch.cat([self.model.decode(latents + amount * step, classes, grain) for amount in amounts])


def _label(request: GenerationRequest) -> str | None:
    return request.condition.label if isinstance(request.condition, ClassLabel) else None


def _oriented(vector: Tensor) -> Tensor:
    """The vector or its opposite: so that its largest value is positive, whatever the library's sign."""
    return vector * vector[vector.abs().argmax()].sign()


def load_engine(folder: Path, device: str | None = None) -> CVAEEngine:
    """Verify a checkpoint folder against its manifest and load it in float32.

    Raises:
        StudioError: damaged, incomplete, or not of this architecture.
    """
    manifest = read_manifest(folder)
    verify(folder, manifest)
    config, target = parse(CVAEConfig, manifest.config), pick_device(device)
    encoder, decoder = build_networks(len(manifest.labels), config)
    networks: dict[str, nn.Module] = {"encoder": encoder, "decoder": decoder}
    prior = networks["prior"] = Prior(len(manifest.labels) + 1, config)
    grain = None if config.grain_training is None else build_grain(config)
    if grain is not None:
        networks["grain"] = grain
    try:
        statistics = LatentStatistics.from_json(manifest.preprocessing)
        for name, network in networks.items():
            load_model(network, weights_file(folder, name))
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, SafetensorError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise StudioError(f"The checkpoint {folder.name} cannot be loaded ({reason}).") from error
    for name, network in networks.items():
        if not all(bool(value.isfinite().all()) for value in network.state_dict().values()):
            raise StudioError(f"The weights of {folder.name} are damaged: {name} holds values that are not numbers.")
        network.eval().requires_grad_(requires_grad=False).to(target)
    return CVAEEngine(CVAE(encoder, decoder, prior, statistics, manifest.labels, grain), manifest, config, target)


def weights_file(folder: Path, component: str) -> Path:
    """Where a checkpoint or a run keeps the weights of a network."""
    return folder / component / "model.safetensors"
