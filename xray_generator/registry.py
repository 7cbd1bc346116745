"""The model families by folder name; networks are imported when they are used, so that a menu costs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xray_generator.checkpoints import Manifest
from xray_generator.types import Ability, Engine, Family, StudioError, TextPrompt, Upscaler, UpscalerFamily, quote

if TYPE_CHECKING:
    from torch import nn

FAMILIES = (  # in the order of menus
    "latent_diffusion",
    "lora",
    "stable_diffusion",
    "flow_matching",
    "cvae",
    "cascade",
    "super_resolution",
)


def get_family(name: str) -> Family | UpscalerFamily:
    """The family of that folder name; StudioError where there is none."""
    if name not in FAMILIES:
        raise StudioError(f"Unknown model family {quote(name)}. Allowed: {', '.join(FAMILIES)}.")
    family: Family | UpscalerFamily = import_module(f"xray_generator.families.{name}").FAMILY
    return family


def draws(name: str) -> bool:
    """Whether a family draws images; one that does not enlarges them."""
    return isinstance(get_family(name), Family)


def offers(manifest: Manifest, ability: Ability) -> bool:
    """Whether a checkpoint can do something besides drawing, an adapter what its base can; asked without loading it."""
    return ability in get_family(manifest.base.family if manifest.base else manifest.family).abilities


def reads_prompts(manifest: Manifest) -> bool:
    """Whether a checkpoint draws from a text prompt."""
    family = get_family(manifest.family)
    return isinstance(family, Family) and family.condition is TextPrompt


def modality(manifest: Manifest) -> str:
    """The DICOM code of a checkpoint's images."""
    return manifest.modality or get_family(manifest.family).modality


def config_type(name: str) -> type:
    """The configuration dataclass of a family's runs."""
    kind: type = resolve(name, get_family(name).config)
    return kind


def load_engine(family: str, folder: Path, device: str | None = None) -> Engine:
    """Verify and load a checkpoint that draws images; StudioError where it is damaged or only enlarges."""
    if not draws(family):
        raise StudioError(f"{folder.name} enlarges images and draws none by itself. Choose another checkpoint.")
    engine: Engine = resolve(family, get_family(family).load)(folder, device)
    return engine


def load_upscaler(family: str, folder: Path, device: str | None = None) -> Upscaler:
    """Verify and load a checkpoint that enlarges images; StudioError where it is damaged or enlarges none."""
    if "enlarge" not in get_family(family).abilities:
        raise StudioError(f"{folder.name} draws images and does not enlarge any. Choose another checkpoint.")
    upscaler: Upscaler = resolve(family, get_family(family).load)(folder, device)
    return upscaler


def load_factors(family: str, folder: Path, networks: Mapping[str, nn.Module]) -> Any:  # noqa: ANN401 - see `nn.adapter`
    """Verify an adapter and read its factors, by network and layer; StudioError where it is damaged or does not fit."""
    known = get_family(family)
    assert isinstance(known, Family)
    return resolve(family, known.factors)(folder, networks)


def import_model(source: str, root: Path, name: str | None = None) -> Path:
    """Make a checkpoint below `root` of a model that others trained: a folder, or a name in the Hugging Face cache.

    Raises:
        StudioError: it is not at hand, or not of a kind that can be imported.
    """
    known = ((family, get_family(family)) for family in FAMILIES)
    family, target = next(
        (name, one.import_model) for name, one in known if isinstance(one, Family) and one.import_model
    )
    folder: Path = resolve(family, target)(source, root, name)
    return folder


def resolve(family: str, target: str) -> Any:  # noqa: ANN401 - a class or a function
    """The object that "module:name" stands for inside a family's package."""
    module, _, name = target.partition(":")
    return getattr(import_module(f"xray_generator.families.{family}.{module}"), name)
