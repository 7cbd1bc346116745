"""What a loaded model consists of: components, parameters, memory, layers and attention layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from xray_generator.checkpoints import Manifest
from xray_generator.config import parse
from xray_generator.evaluation.records import Measurement
from xray_generator.registry import config_type, get_family, resolve

BYTES = {"float32": 4, "bfloat16": 2}  # per parameter, as loaded and as stored in a checkpoint
MEGABYTE = 2**20
DEPTH = 3


@dataclass(frozen=True, slots=True)
class Layer:
    """A module and its submodules."""

    name: str  # within its parent; the outermost has the component's name
    kind: str  # class
    parameters: int
    children: tuple[Layer, ...] = ()

    def flat(self, depth: int = 0) -> Iterator[tuple[int, Layer]]:
        """(depth, layer) of this layer and all below it, in the order of the network."""
        yield depth, self
        for child in self.children:
            yield from child.flat(depth + 1)


@dataclass(frozen=True, slots=True)
class Component:
    """One network of a model."""

    name: str
    kind: str
    parameters: int
    trainable: int  # without those of a frozen pretrained part
    memory_mb: dict[str, float]  # of the weights, by number format
    layers: Layer


@dataclass(frozen=True, slots=True)
class AttentionSite:
    """An attention layer: positions attend to each other, or to the words of the prompt."""

    component: str
    path: str
    positions: int
    heads: int
    is_cross: bool  # cross-attention to the prompt

    @property
    def resolution(self) -> str:
        """The positions as a square, where they are one."""
        side = math.isqrt(self.positions)
        return f"{side} x {side}" if side**2 == self.positions else f"{self.positions}"


def describe(components: Mapping[str, nn.Module], depth: int = DEPTH) -> tuple[Component, ...]:
    """The components of an engine with their layers, down to `depth` levels."""
    return tuple(_component(name, module, depth) for name, module in components.items())


def attention_sites(components: Mapping[str, nn.Module], draw: Callable[[], Any]) -> tuple[AttentionSite, ...]:
    """The attention layers of diffusers that are called while `draw` makes an image, each once."""
    found: dict[tuple[str, str], AttentionSite] = {}
    hooks = [
        layer.register_forward_pre_hook(_note(name, path, found), with_kwargs=True)
        for name, module in components.items()
        for path, layer in module.named_modules()
        if hasattr(layer, "to_q") and hasattr(layer, "heads")
    ]
    try:
        draw()
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(found.values())


def component_table(components: tuple[Component, ...]) -> tuple[dict[str, Any], ...]:
    """A row for each component, as records keep it."""
    return tuple(
        {
            "component": part.name,
            "kind": part.kind,
            "parameters": part.parameters,
            "trainable": part.trainable,
            **{f"{number_format}_mb": round(size, 2) for number_format, size in part.memory_mb.items()},
        }
        for part in components
    )


def layer_table(components: tuple[Component, ...]) -> tuple[dict[str, Any], ...]:
    """A row for each layer, depth first."""
    return tuple(
        {
            "component": part.name,
            "depth": depth,
            "layer": layer.name,
            "kind": layer.kind,
            "parameters": layer.parameters,
        }
        for part in components
        for depth, layer in part.layers.flat()
    )


def attention_table(sites: tuple[AttentionSite, ...]) -> tuple[dict[str, Any], ...]:
    """A row for each attention layer."""
    return tuple(
        {
            "component": site.component,
            "layer": site.path,
            "resolution": site.resolution,
            "heads": site.heads,
            "attends_to": "prompt" if site.is_cross else "image",
        }
        for site in sites
    )


def measure_training(manifest: Manifest) -> Measurement:
    """The arithmetic of a checkpoint's training by its settings, where its family can count it."""
    if not (counter := get_family(manifest.family).training_flops):
        return Measurement("training_petaflops", None, reason="this family does not count the arithmetic of a training")
    flops = resolve(manifest.family, counter)(parse(config_type(manifest.family), manifest.config))
    return Measurement("training_petaflops", sum(flops.values()) / 1e15, 1)


def count_parameters(module: nn.Module) -> int:
    """Number of weights and biases; a shared tensor counts once."""
    return sum(parameter.numel() for parameter in module.parameters())


def _component(name: str, module: nn.Module, depth: int) -> Component:
    total = count_parameters(module)
    transformer = getattr(module, "transformer", None)
    frozen = count_parameters(transformer) if getattr(module, "is_frozen", False) and transformer is not None else 0
    memory = {number_format: total * size / MEGABYTE for number_format, size in BYTES.items()}
    return Component(name, type(module).__name__, total, total - frozen, memory, _layer(name, module, depth))


def _layer(name: str, module: nn.Module, depth: int) -> Layer:
    children = tuple(_layer(key, child, depth - 1) for key, child in module.named_children()) if depth else ()
    return Layer(name, type(module).__name__, count_parameters(module), children)


def _note(
    component: str, path: str, found: dict[tuple[str, str], AttentionSite]
) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
    def hook(layer: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        states = arguments[0] if arguments else named["hidden_states"]
        positions = math.prod(states.shape[2:]) if states.ndim == 4 else states.shape[1]  # (B, C, H, W) or (B, L, C)
        is_cross = named.get("encoder_hidden_states") is not None
        found[component, path] = AttentionSite(component, path, positions, int(layer.heads), is_cross)  # type: ignore[arg-type]

    return hook
