"""Low-rank adapters: W + weight B A in chosen layers of a network (LoRA, Hu et al. 2021, arXiv:2106.09685, eq. 3).

Files of diffusers, of PEFT and of kohya are read: they differ in how layers and factors are called, and in where the
scale alpha / rank stands.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from xray_generator.abilities import TEXT_ENCODER, UNET

FILE, PEFT_FILE, PEFT_CONFIG = "pytorch_lora_weights.safetensors", "adapter_model.safetensors", "adapter_config.json"
METADATA = "lora_adapter_metadata"  # of diffusers, in the header of a file
PEFT_PREFIX = "base_model.model."
CLIP_PREFIX = "text_model_"
PREFIXES: Mapping[str, str] = MappingProxyType(
    {
        f"{UNET}.": UNET,
        "lora_unet_": UNET,
        f"{TEXT_ENCODER}.": TEXT_ENCODER,
        "lora_te_": TEXT_ENCODER,
        "lora_te1_": TEXT_ENCODER,
    }
)
FACTOR = re.compile(r"(.+?)[._]lora[._](A|B|down|up)(?:\.\w+)?\.weight")
ALPHA = ".alpha"
OTHER_KINDS = {"hada_": "LoHa", "lokr_": "LoKr", "dora_scale": "DoRA", "magnitude_vector": "DoRA", "oft_": "OFT"}
NUM_NAMED = 3  # layers in a message

Pair = tuple[Tensor, Tensor]  # A (r, in) and B (out, r); of a convolution (r, in, k, k) and (out, r, 1, 1)
Factors = Mapping[str, Pair]  # layer of one network -> its two factors, the scale in the second
NetworkT = TypeVar("NetworkT", bound=nn.Module)


def find_layers(network: nn.Module, targets: Sequence[str]) -> list[str]:
    """The names of linear layers and convolutions that are, or end with a part that is, one of `targets`."""
    return [name for name, _ in _layers(network) if any(name == t or name.endswith(f".{t}") for t in targets)]


def _layers(network: nn.Module) -> Iterator[tuple[str, nn.Linear | nn.Conv2d]]:
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            yield name, layer


def add_adapter(network: nn.Module, layers: Sequence[str], rank: int, alpha: float, dropout: float) -> None:
    """Give layers of a network an adapter by PEFT, of which alone it can be trained; at first it changes nothing."""
    from peft import LoraConfig, inject_adapter_in_model  # slow to import

    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(layers))  # type: ignore[arg-type]
    inject_adapter_in_model(config, network)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_("lora_" in name)


def adapter_tensors(networks: Mapping[str, nn.Module], scale: float) -> dict[str, Tensor]:
    """The adapters of networks as diffusers names them, in 16 bit, the scale alpha / rank within B."""
    found = {}
    for network, module in networks.items():
        for name, value in module.named_parameters():
            if "lora_" in name:
                factor = scale if "lora_B" in name else 1.0
                found[f"{network}.{name.replace('.default', '')}"] = (value.detach().cpu() * factor).half().contiguous()
    return found


def empty_tensors(
    networks: Mapping[str, nn.Module], layers: Mapping[str, Sequence[str]], rank: int
) -> dict[str, Tensor]:
    """What `adapter_tensors` gives of adapters of these layers, all zero."""
    found = {}
    for network, names in layers.items():
        for name in names:
            layer = networks[network].get_submodule(name)
            shape = tuple(layer.weight.shape)  # type: ignore[arg-type]
            ones = (1,) * (len(shape) - 2)
            found[f"{network}.{name}.lora_A.weight"] = torch.zeros(rank, *shape[1:])
            found[f"{network}.{name}.lora_B.weight"] = torch.zeros(shape[0], rank, *ones)
    return found


def save_adapter(tensors: Mapping[str, Tensor], folder: Path) -> Path:
    """Write adapters as diffusers' `load_lora_weights` reads them; equal tensors give equal files."""
    path = folder / FILE
    save_file(dict(tensors), path, {"format": "pt"})
    return path


def fuse(network: NetworkT, adapters: Sequence[tuple[Factors, float]]) -> NetworkT:
    """A copy of a network with adapters added, each by its weight; the network itself where nothing is added."""
    active = [(factors, weight) for factors, weight in adapters if factors and weight]
    if not active:
        return network
    changed = copy.deepcopy(network)
    with torch.no_grad():
        for factors, weight in active:
            for name, (down, up) in factors.items():
                values: Any = changed.get_submodule(name).weight
                change = (up.flatten(1) @ down.flatten(1)).view(values.shape)
                values += weight * change.to(values)
    return changed


def read_adapter(path: Path, networks: Mapping[str, nn.Module]) -> dict[str, dict[str, Pair]]:
    """The factors of an adapter by network and layer.

    Args:
        path: a safetensors file, or a folder with one as diffusers or PEFT call it.
        networks: for which it is meant, by the names "unet" and "text_encoder".

    Raises:
        ValueError: it is no adapter, of another kind, or does not fit these networks; names what does not.
    """
    file = next((path / name for name in (FILE, PEFT_FILE) if (path / name).is_file()), path)
    with safe_open(file, "pt") as stream:
        tensors = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118 - no mapping
        scale_of = _find_scale(file, stream.metadata() or {})
    for mark, kind in OTHER_KINDS.items():
        if any(mark in key for key in tensors):
            raise ValueError(f"it is of the kind {kind}; plain low-rank adapters are read")
    halves: dict[tuple[str, str], dict[str, Tensor]] = defaultdict(dict)
    alphas: dict[tuple[str, str], float] = {}
    faults = []
    for key, value in tensors.items():
        network, rest = _split(key)
        if rest.endswith(ALPHA):
            alphas[network, rest.removesuffix(ALPHA)] = float(value)
        elif match := FACTOR.fullmatch(rest):
            halves[network, _layer_name(match[1])]["up" if match[2] in ("B", "up") else "down"] = value.float()
        else:
            faults.append(key)
    known = {name: {layer.replace(".", "_"): layer for layer, _ in _layers(one)} for name, one in networks.items()}
    found: dict[str, dict[str, Pair]] = defaultdict(dict)
    for (network, name), half in halves.items():
        layer = _find_layer(known.get(network, {}), name.replace(".", "_"))
        down, up = half.get("down"), half.get("up")
        if layer is None or down is None or up is None or not _fits(networks[network], layer, down, up):
            faults.append(f"{network}.{name}")
            continue
        rank, alpha = len(down), alphas.get((network, name))
        found[network][layer] = down, up * (scale_of(network, rank) if alpha is None else alpha / rank)
    if faults:
        shown = ", ".join(sorted(faults)[:NUM_NAMED])
        total = len(halves) or len(tensors)
        raise ValueError(f"{len(faults)} of its {total} layers are not those of its base: {shown}")
    if not found:
        raise ValueError("it holds no adapter")
    return dict(found)


def _find_layer(known: Mapping[str, str], name: str) -> str | None:
    """The layer of a flat name; of CLIP's layers some tools write the prefix, and some do not."""
    return known.get(name) or known.get(f"{CLIP_PREFIX}{name}")


def _split(key: str) -> tuple[str, str]:
    """The network that a key belongs to, and the rest of the key."""
    key = key.removeprefix(PEFT_PREFIX)
    for prefix, network in PREFIXES.items():
        if key.startswith(prefix):
            return network, key.removeprefix(prefix)
    return UNET, key


def _layer_name(name: str) -> str:
    """Older files of diffusers name the processor of an attention, and its last layer without a number."""
    if ".processor." not in name:
        return name
    name = name.replace(".processor.", ".")
    return f"{name}.0" if name.endswith("to_out") else name


def _fits(network: nn.Module, layer: str, down: Tensor, up: Tensor) -> bool:
    weight: Any = network.get_submodule(layer).weight
    if down.ndim != weight.ndim or up.ndim != weight.ndim:
        return False
    inner = all(side == 1 for side in up.shape[2:])
    return inner and len(down) == up.shape[1] and up.shape[0] == weight.shape[0] and down.shape[1:] == weight.shape[1:]


def _find_scale(file: Path, metadata: Mapping[str, str]) -> Callable[[str, int], float]:
    """The scale of a network's adapter of some rank, where no alpha stands beside it; ValueError: of another kind."""
    try:
        beside = file.with_name(PEFT_CONFIG)
        known = json.loads(beside.read_bytes()) if beside.is_file() else json.loads(metadata.get(METADATA, "{}"))
    except ValueError:
        raise ValueError("the settings beside it are not JSON") from None
    settings = known if isinstance(known, dict) else {}
    if settings.get("use_dora") or settings.get("alpha_pattern") or settings.get("rank_pattern"):
        raise ValueError("it has settings of single layers, or is of the kind DoRA; one alpha for all is read")

    def scale_of(network: str, rank: int) -> float:
        alpha = settings.get(f"{network}.lora_alpha", settings.get("lora_alpha"))
        if not isinstance(alpha, int | float):
            return 1.0
        return float(alpha) / (math.sqrt(rank) if settings.get("use_rslora") else rank)

    return scale_of
