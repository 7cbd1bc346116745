"""The training task of an adapter: its base's own denoising error, on latents and prompts of new images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from xray_generator.abilities import Adaptable
from xray_generator.data.rows import Row, evenly
from xray_generator.devices import seeded_generators
from xray_generator.families.lora.config import LoraConfig
from xray_generator.images import resize_square, to_tensor
from xray_generator.requests import text_request
from xray_generator.training.task import Draw, step_generator
from xray_generator.types import Engine, StudioError, no_report

ENCODING_BATCH = 8
VALIDATION_BATCH = 16
MAX_VALIDATION = 64
NUM_PREVIEWS, PREVIEW_STEPS = 4, 8


def prompt_of(row: Row, template: str) -> str:
    """The prompt of an image: its caption, or the template with its class in words.

    Raises:
        StudioError: it has neither.
    """
    prompt = row.prompt or template.replace("{label}", row.label.replace("_", " "))
    if not prompt or ("{label}" in template and not row.prompt and not row.label):
        raise StudioError(
            f"{row.path.name} has no caption. Give one in the table, or set prompt=..., where {{label}} stands for the "
            "class."
        )
    return prompt


class Examples:
    """Latents (D, h, w) of images, each with the place of its prompt in `prompts`."""

    def __init__(self, latents: Tensor, prompts: Sequence[str]) -> None:
        self.latents, self.prompts = latents, tuple(prompts)

    def __len__(self) -> int:
        return len(self.latents)

    def __getitem__(self, draw: Draw) -> Mapping[str, Tensor]:
        return {"latents": self.latents[draw.index], "place": torch.tensor(draw.index)}


def encode_rows(engine: Adaptable, rows: Sequence[Row], size: int, template: str) -> Examples:
    """The latents and prompts of images, short side to `size`."""
    prompts = [prompt_of(row, template) for row in rows]
    parts = []
    for start in range(0, len(rows), ENCODING_BATCH):
        images = [to_tensor(resize_square(row.image(), size)[None]) for row in rows[start : start + ENCODING_BATCH]]
        parts.append(engine.diffusion_latents(torch.cat(images)).cpu().clone())  # out of inference mode
    return Examples(torch.cat(parts) if parts else torch.empty(0), prompts)


def draw_prior(engine: Any, config: LoraConfig) -> Tensor:  # noqa: ANN401 - an Engine that is Adaptable
    """Latents of images that the base itself draws of the prior prompt."""
    parts = []
    for generator in seeded_generators(config.training.seed, config.num_prior_images):
        request = engine.resolve(text_request(config.prior_prompt, seed=0, size=engine.manifest.sizes[0]))
        parts.append(engine.diffusion_latents(engine.sample(request, [generator], no_report)).cpu().clone())
    return torch.cat(parts)


class LoraLoss(nn.Module):
    """The base's denoising error on the examples, and by `prior_weight` on what it drew itself before."""

    def __init__(
        self,
        engine: Adaptable,
        networks: Mapping[str, nn.Module],
        examples: Examples,
        prior: Tensor | None,
        config: LoraConfig,
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(networks)
        self.engine, self.examples, self.prior, self.config = engine, examples, prior, config

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of latents (B, D, h, w) with the places of their prompts (B,)."""
        prompts = [self.examples.prompts[int(place)] for place in batch["place"]]
        error = self.engine.denoising_errors(batch["latents"], prompts, generator).mean()
        if self.prior is None:
            return {"loss": error}
        chosen = torch.randint(len(self.prior), (len(prompts),), generator=generator)
        prior = self.prior[chosen].to(batch["latents"])
        kept = self.engine.denoising_errors(prior, [self.config.prior_prompt] * len(prior), generator).mean()
        return {"loss": error + self.config.prior_weight * kept, "error": error, "prior": kept}


class LoraTask:
    """Trains the adapters alone; validates by the error with them and without."""

    def __init__(
        self,
        engine: Any,  # noqa: ANN401 - an Engine that is Adaptable
        networks: Mapping[str, nn.Module],
        rows: Sequence[Row],
        validation: Sequence[Row],
        config: LoraConfig,
    ) -> None:
        self.engine: Engine = engine
        size = engine.manifest.sizes[0]
        self.examples = encode_rows(engine, rows, size, config.prompt)
        self.validation = encode_rows(engine, evenly(validation, MAX_VALIDATION), size, config.prompt)
        with without_adapters(networks):
            prior = draw_prior(engine, config) if config.prior_weight else None
        self.module = LoraLoss(engine, networks, self.examples, prior, config)

    def dataset(self) -> Examples:
        """Every training image."""
        return self.examples

    @torch.no_grad()
    def preview(self) -> Tensor:
        """Images of some prompts with the adapters, and below them without, from the same noise."""
        prompts = list(dict.fromkeys(self.examples.prompts))[:NUM_PREVIEWS]
        drawn = [self._draw(prompts)]
        with without_adapters(self.module.networks):
            drawn.append(self._draw(prompts))
        return torch.cat(drawn)

    def _draw(self, prompts: Sequence[str]) -> Tensor:
        engine, images = self.engine, []
        steps = min(PREVIEW_STEPS, engine.manifest.recommended.num_inference_steps)
        for place, prompt in enumerate(prompts):
            request = engine.resolve(text_request(prompt, seed=0, size=engine.manifest.sizes[0], steps=steps))
            images.append(engine.sample(request, seeded_generators(place, 1), no_report).cpu())
        return torch.cat(images)

    @torch.no_grad()
    def validate(self) -> Mapping[str, float]:
        """Mean error on the validation split with the adapters, and that of the base, at the same noise."""
        if not len(self.validation):
            return {}
        found = {"error": self._measure()}
        with without_adapters(self.module.networks):
            found["base_error"] = self._measure()
        return {**found, "num_images": float(len(self.validation))}

    def _measure(self) -> float:
        errors = []
        engine = self.module.engine
        for start in range(0, len(self.validation), VALIDATION_BATCH):
            part = slice(start, start + VALIDATION_BATCH)
            device = next(self.module.parameters()).device
            latents = self.validation.latents[part].to(device)
            errors.append(engine.denoising_errors(latents, self.validation.prompts[part], step_generator(0, start)))
        return float(torch.cat(errors).mean())


@contextmanager
def without_adapters(networks: Any) -> Iterator[None]:  # noqa: ANN401 - a mapping or a ModuleDict
    """The networks as they were before they were adapted."""
    layers = [layer for one in networks.values() for layer in one.modules() if isinstance(layer, BaseTunerLayer)]
    for layer in layers:
        layer.enable_adapters(enabled=False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(enabled=True)
