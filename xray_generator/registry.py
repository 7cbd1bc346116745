"""The model families, by folder name. A family is imported when it is asked for, so that a menu costs no torch."""

from __future__ import annotations

from importlib import import_module

from xray_generator.types import Family, StudioError

FAMILIES = {
    "latent_diffusion": "Text to chest X-ray",
    "flow_matching": "Lung CT by class",
    "cvae": "Cells by class",
    "super_resolution": "Super-resolution of X-rays and CT",
}
ENLARGING = ("super_resolution",)  # of these: they enlarge what another one draws


def get_family(name: str) -> Family:
    """The family of that folder name.

    Raises:
        StudioError: unknown; the text lists the right ones.
    """
    if name not in FAMILIES:
        raise StudioError(f"Unknown model family {name!r}. Allowed: {', '.join(FAMILIES)}.")
    family: Family = import_module(f"xray_generator.families.{name}").FAMILY
    return family


def enlarges(name: str) -> bool:
    """Whether a family enlarges images and draws none; asking imports none."""
    return name in ENLARGING
