"""A loaded adapter: the engine of its base, whose networks it changes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from xray_generator.abilities import TEXT_ENCODER, UNET, Adaptable
from xray_generator.checkpoints import Manifest, Stored, find_checkpoint, open_checkpoint, read_manifest
from xray_generator.families.lora.config import LoraConfig
from xray_generator.nn.adapter import Factors, empty_tensors, find_layers, fuse, read_adapter
from xray_generator.registry import import_model
from xray_generator.registry import load_engine as load_any
from xray_generator.types import Engine, StudioError

FAMILY = "lora"  # a checkpoint lies in <root>/<family>/<name>
TEXT_TARGETS = ("query", "key", "value", "q_proj", "k_proj", "v_proj", "out_proj")  # attention of BERT, and of CLIP


def load_base(name: str, folder: Path, device: str | None = None) -> Engine:
    """The engine of a base, found beside the adapter of that folder or among this server's checkpoints.

    Raises:
        StudioError: it is in neither place, is damaged, or cannot be adapted.
    """
    place = _find(name, folder)
    engine = load_any(read_manifest(place).family, place, device)
    if not isinstance(engine, Adaptable):
        raise StudioError(f"{name} cannot be adapted. Name a model that draws from a prompt.")
    return engine


def _find(name: str, folder: Path) -> Path:
    beside = [folder.parents[1]] if folder.parent.name == FAMILY else []
    own = Path(os.environ.get("OUTPUT_DIR", "outputs")) / "checkpoints"
    for root in (*beside, own):
        try:
            return find_checkpoint(root, name)
        except StudioError as error:
            reason = error
    raise StudioError(f"The base {name} of the adapter is not here. {reason}")


def import_base(name: str, folder: Path) -> str:
    """The name of a base's checkpoint; a Stable Diffusion that is none yet is imported beside the adapter.

    Raises:
        StudioError: it is not here, or no Stable Diffusion at hand.
    """
    try:
        _find(name, folder)
    except StudioError as error:
        if "/" not in name and not Path(name).is_dir():
            raise
        try:
            place = import_model(name, folder.parents[1])
        except StudioError as reason:
            raise StudioError(f"{error} It cannot be imported either. {reason}") from None
        return read_manifest(place).ref.full_name
    return name


def adapted_layers(config: LoraConfig, networks: Mapping[str, nn.Module]) -> dict[str, list[str]]:
    """The layers that a run adapts, by network.

    Raises:
        StudioError: target_modules name none.
    """
    layers = {UNET: find_layers(networks[UNET], config.target_modules)}
    if config.adapts_text_encoder:
        layers[TEXT_ENCODER] = find_layers(networks[TEXT_ENCODER], TEXT_TARGETS)
    if not layers[UNET]:
        raise StudioError(f"The base has no layers that end with {', '.join(config.target_modules)}.")
    return layers


def load_engine(folder: Path, device: str | None = None) -> Engine:
    """Verify an adapter and its base, and load both in float32; errors as `open_checkpoint`."""

    def build(manifest: Manifest, config: LoraConfig) -> tuple[Engine, Stored]:
        base = load_base(config.base, folder, device)
        if base.manifest.ref != manifest.base:
            raise ValueError(f"it was trained on other weights of {config.base} than those that are here")
        assert isinstance(base, Adaptable)
        networks = base.adaptable()
        factors, stored = _read(folder, config, networks)
        return base.adapted(lambda name, network: fuse(network, [(factors.get(name, {}), 1.0)]), manifest), stored

    return open_checkpoint(folder, LoraConfig, build)[2]


def load_factors(folder: Path, networks: Mapping[str, nn.Module]) -> Mapping[str, Factors]:
    """Verify an adapter and read what it adds to the networks of its base; errors as `open_checkpoint`."""
    return open_checkpoint(folder, LoraConfig, lambda _, config: _read(folder, config, networks))[2]


def _read(folder: Path, config: LoraConfig, networks: Mapping[str, nn.Module]) -> tuple[Mapping[str, Factors], Stored]:
    stored = {".": empty_tensors(networks, adapted_layers(config, networks), config.rank)}
    return read_adapter(folder, networks), stored
