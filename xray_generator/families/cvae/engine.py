"""A loaded checkpoint of this family, ready to draw images of its classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_model
from sklearn.decomposition import PCA
from torch import Tensor, nn

from xray_generator.abilities import NUM_DIRECTION_SAMPLES, LatentDirection
from xray_generator.checkpoints import Manifest, Stored, freeze, open_checkpoint
from xray_generator.devices import autocast, initial_noise, pick_device, seeded_generators
from xray_generator.families.cvae.autoencoder import Autoencoder
from xray_generator.families.cvae.config import CVAEConfig
from xray_generator.families.cvae.model import CVAE, LatentStatistics, Prior, build_grain
from xray_generator.images import from_tensor
from xray_generator.nn.interpolation import slerp
from xray_generator.requests import MAX_FLOW_STEPS, resolve_request, unused_guidance
from xray_generator.types import NO_PREVIEW, ClassLabel, GenerationRequest, Morph, OnStep, StudioError, no_report

SCHEDULER = "euler"
DIRECTION_BATCH = 16
DIRECTION_STREAM = 2  # of the fixed seeds from which directions are measured


@dataclass(frozen=True, slots=True)
class CVAEEngine:
    """The `Engine` of this family; also `Morphing`, `Autoencoding` and `Traversing`."""

    model: CVAE
    manifest: Manifest
    config: CVAEConfig
    device: torch.device

    def components(self) -> Mapping[str, nn.Module]:
        """The networks by name."""
        return self.model.networks()

    def resolve(self, request: GenerationRequest) -> GenerationRequest:
        """See `requests.resolve_request`."""
        return resolve_request(request, self.manifest, MAX_FLOW_STEPS)

    def notes(self, request: GenerationRequest) -> tuple[str, ...]:
        """See `requests.unused_guidance`."""
        return unused_guidance(request)

    @torch.inference_mode()
    def sample(self, request: GenerationRequest, generators: Sequence[torch.Generator], on_step: OnStep) -> Tensor:
        """(B, 1, H, W) in [-1, 1] for a resolved request, one image per generator, each sampled by itself.

        One at a time, because on a CPU the batch size changes the last bits of a result.
        """
        classes = self._classes(request)
        return torch.cat([self._draw(request, self._noises(g), classes, on_step) for g in generators])

    def _classes(self, request: GenerationRequest) -> Tensor:
        condition = request.condition
        return self.model.autoencoder.classes(condition.label if isinstance(condition, ClassLabel) else None)

    def _noises(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Of the latents, and of the grain."""
        shapes = self.config.latent_shape, (1, self.config.size, self.config.size)
        latents, grain = (initial_noise(shape, [generator], self.device) for shape in shapes)
        return latents, grain

    def _draw(
        self, request: GenerationRequest, noises: tuple[Tensor, Tensor], classes: Tensor, on_step: OnStep
    ) -> Tensor:
        noise, grain = noises
        with autocast(self.device):
            return self.model.decode(self._draw_latents(request, noise, classes, on_step), classes, grain)

    def _draw_latents(self, request: GenerationRequest, noise: Tensor, classes: Tensor, on_step: OnStep) -> Tensor:
        assert request.num_inference_steps and request.guidance_scale is not None

        def report(step: int, total: int, _latents: Tensor, x_0: Callable[[], Tensor]) -> None:
            on_step(step, total, lambda: from_tensor(self.model.decode(x_0(), classes))[0])

        return self.model.draw_latents(noise, classes, request.guidance_scale, request.num_inference_steps, report)

    @torch.inference_mode()
    def morph(self, first: GenerationRequest, morph: Morph, on_step: OnStep) -> Tensor:
        """See `abilities.Morphing`: noise is interpolated along the sphere, class weights and guidance linearly."""
        second, weight = morph.second, morph.weight
        assert first.guidance_scale is not None and second.guidance_scale is not None
        (generator,), (other,) = seeded_generators(first.seed, 1), seeded_generators(second.seed, 1)
        pairs = zip(self._noises(generator), self._noises(other), strict=True)
        noise, grain = (slerp(a, b, weight) for a, b in pairs)
        classes = torch.lerp(self._classes(first), self._classes(second), weight)
        guidance = (1 - weight) * first.guidance_scale + weight * second.guidance_scale
        return self._draw(replace(first, guidance_scale=guidance), (noise, grain), classes, on_step)

    @torch.inference_mode()
    def encode(self, images: Tensor, label: str | None = None) -> Tensor:
        """See `abilities.Autoencoding`: posterior means, normalized."""
        with autocast(self.device):
            return self.model.encode(images.to(self.device), self.model.autoencoder.classes(label))

    @torch.inference_mode()
    def decode(self, latents: Tensor, label: str | None = None) -> Tensor:
        """See `abilities.Autoencoding`."""
        with autocast(self.device):
            return self.model.decode(latents.to(self.device), self.model.autoencoder.classes(label))

    @torch.inference_mode()
    def draw_latents(self, label: str | None, generators: Sequence[torch.Generator]) -> Tensor:
        """See `abilities.Traversing`."""
        classes, recommended = self.model.autoencoder.classes(label), self.manifest.recommended
        guidance = 1.0 if label is None else recommended.guidance_scale
        noise = initial_noise(self.config.latent_shape, generators, self.device)
        return self.model.draw_latents(noise, classes, guidance, recommended.num_inference_steps)

    @torch.inference_mode()
    def directions(self, label: str | None, count: int, on_step: OnStep | None = None) -> tuple[LatentDirection, ...]:
        """See `abilities.Traversing`: principal components of 64 draws from the prior, none of which is a patient's.

        The largest value of each direction is positive (the sign that scikit-learn's PCA settles on).
        """
        if not 1 <= count < NUM_DIRECTION_SAMPLES:
            raise StudioError(f"From 1 to {NUM_DIRECTION_SAMPLES - 1} directions can be measured, not {count}.")
        generators = seeded_generators(0, NUM_DIRECTION_SAMPLES, DIRECTION_STREAM)
        batches = []
        for start in range(0, NUM_DIRECTION_SAMPLES, DIRECTION_BATCH):
            batches.append(self.draw_latents(label, generators[start : start + DIRECTION_BATCH]))
            (on_step or no_report)(start + DIRECTION_BATCH, NUM_DIRECTION_SAMPLES, lambda: NO_PREVIEW)
        pca = PCA(count, svd_solver="full").fit(torch.cat(batches).double().flatten(1).cpu().numpy())
        vectors = np.sqrt(pca.explained_variance_)[:, None] * pca.components_
        shape, shares = self.config.latent_shape, pca.explained_variance_ratio_
        return tuple(
            LatentDirection(vector.reshape(shape).astype(np.float32), float(share))
            for vector, share in zip(vectors, shares, strict=True)
        )

    @torch.inference_mode()
    def traverse(
        self, request: GenerationRequest, direction: LatentDirection, amounts: Sequence[float], on_step: OnStep
    ) -> Tensor:
        """See `abilities.Traversing`."""
        (generator,), classes = seeded_generators(request.seed, 1), self._classes(request)
        step = torch.from_numpy(np.ascontiguousarray(direction.vector)).to(self.device)
        with autocast(self.device):
            noise, grain = self._noises(generator)
            latents = self._draw_latents(request, noise, classes, on_step)
            return torch.cat([self.model.decode(latents + amount * step, classes, grain) for amount in amounts])


def load_engine(folder: Path, device: str | None = None) -> CVAEEngine:
    """Verify a checkpoint folder against its manifest and load it in float32; errors as `open_checkpoint`."""
    target = pick_device(device)

    def build(manifest: Manifest, config: CVAEConfig) -> tuple[CVAE, Stored]:
        model = CVAE(
            Autoencoder.build(config, manifest.labels),
            Prior(len(manifest.labels) + 1, config),
            LatentStatistics.from_json(manifest.preprocessing),
            None if config.grain_training is None else build_grain(config),
        )
        for name, network in model.networks().items():
            load_model(network, weights_file(folder, name))
            freeze(network, target, channels_last=name in ("encoder", "decoder"))
        return model, {name: network.state_dict() for name, network in model.networks().items()}

    manifest, config, model = open_checkpoint(folder, CVAEConfig, build)
    return CVAEEngine(model, manifest, config, target)


def weights_file(folder: Path, component: str) -> Path:
    """Where a checkpoint or a run keeps the weights of a network."""
    return folder / component / "model.safetensors"
